"""Options that are written and change nothing, because of others or at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from axolotl.config.adapter import AdapterSection
from axolotl.errors import UnknownName
from axolotl.optimizers import Facts, facts_of
from axolotl.records import Edit
from axolotl.resolve.case import Case, Found, Table
from axolotl.resolve.rules.tracking import IDLE

_LORA = [
    key
    for key in AdapterSection.model_fields
    if key.startswith(("lora_", "peft")) and key != "peft_adapter"
]
_LORA_OF_A_NEW_ADAPTER = [k for k in _LORA if k not in ("lora_model_dir", "lora_out_dir")]
_KIND = ["is_llama_derived_model", "is_falcon_derived_model", "is_mistral_derived_model"]
_COUNTED = ["sample_packing_eff_est", "total_num_tokens"]
_ADAM = ["adam_beta1", "adam_beta2", "adam_beta3", "adam_epsilon"]
_SHOW = "hold rows out: `val_set_size: 0.05`"

_Idle = tuple[Sequence[str], Callable[[Case], bool], str, str]
"""Options, when they change nothing, why, and the way out besides removing them."""


def _always(_: Case) -> bool:
    return True


def _optimizer(case: Case) -> Facts:
    """What is known of the optimizer; of one that is none, nothing."""
    try:
        return facts_of(case.config.optimizer.optimizer)
    except UnknownName:
        return Facts(takes=frozenset(_ADAM), projects=True)


def _goes_on(case: Case) -> bool:
    """Whether an adapter that is there already is trained further."""
    adapter = case.config.adapter
    return bool(case.trains and adapter.adapter and adapter.lora_model_dir)


def _untaken(key: str) -> Callable[[Case], bool]:
    return lambda case: key not in _optimizer(case).takes


def _scheduled_by(*names: str) -> Callable[[Case], bool]:
    return lambda case: case.config.schedule.lr_scheduler not in names


_IDLE: Sequence[_Idle] = [
    (
        _LORA,
        lambda case: case.config.adapter.adapter is None,
        "without an adapter all weights are trained",
        "write `adapter: lora`",
    ),
    (
        _LORA_OF_A_NEW_ADAPTER,
        _goes_on,
        "the adapter in lora_model_dir brings its own settings",
        "remove lora_model_dir to begin a new adapter",
    ),
    (
        ["unfrozen_parameters"],
        _goes_on,
        "an adapter freezes all weights beside it",
        "",
    ),
    (
        [key for key in _LORA_OF_A_NEW_ADAPTER if key.startswith("lora_")],
        lambda case: (
            case.config.adapter.adapter == "llama-adapter"
            and not case.config.adapter.lora_model_dir
        ),
        "prompts are trained, and no LoRA",
        "write `adapter: lora`",
    ),
    (
        ["peft"],
        lambda case: (
            case.config.adapter.adapter in ("lora", "qlora")
            and not case.config.adapter.lora_model_dir
            and case.config.adapter.peft_init_lora_weights != "loftq"
        ),
        "LoftQ is off",
        "write `peft_init_lora_weights: loftq`",
    ),
    (
        ["peft_adapter"],
        lambda case: case.config.adapter.adapter != "llama-adapter",
        "these are settings of another adapter",
        "",
    ),
    (
        ["relora_warmup_steps", "relora_anneal_steps", "relora_prune_ratio", "relora_cpu_offload"],
        lambda case: not case.config.relora.relora_steps,
        "ReLoRA is off",
        "add `relora_steps: 150`",
    ),
    (
        ["gptq_groupsize", "gptq_model_v1"],
        lambda case: not case.config.quantization.gptq,
        "gptq is off",
        "",
    ),
    (_KIND, _always, "the model's own config.json says what it is", ""),
    (
        _COUNTED,
        _always,
        "tokens and packed rows are counted exactly before the training begins",
        "",
    ),
    (["torchdistx_path"], _always, "no optimizer needs it", ""),
    (["local_rank"], _always, "the launcher tells each process its number", ""),
    (
        ["flash_attn_rms_norm"],
        _always,
        "norms are those of the model, and no fused one is built",
        "",
    ),
    (["dataset_processes"], _always, "one process tokenizes on all cores", ""),
    (
        ["eval_batch_size", "eval_sample_packing", "eval_table_size"],
        lambda case: not case.config.data.evaluates,
        "no rows are held out",
        _SHOW,
    ),
    (
        ["sample_packing_sequentially"],
        lambda case: not case.packs,
        "samples do not share rows",
        "add `sample_packing: true`",
    ),
    (
        ["shuffle_before_merging_datasets"],
        lambda case: case.shuffles_all_rows,
        "all rows are shuffled together afterwards",
        "add `shuffle_merged_datasets: false`",
    ),
    *(([key], _untaken(key), "the optimizer has no such number", "") for key in _ADAM),
    (
        ["adam_epsilon2"],
        lambda case: "scale_parameter" not in str(case.config.optimizer.optim_args),
        "only adafactor has it, where it scales its steps by the size of the weights",
        "add `optimizer: adafactor` and `optim_args: {scale_parameter: true}`",
    ),
    (
        ["optim_target_modules"],
        lambda case: not _optimizer(case).projects,
        "the optimizer projects no gradients",
        "write `optimizer: galore_adamw`",
    ),
    (
        ["loraplus_lr_ratio"],
        lambda case: case.config.adapter.adapter not in ("lora", "qlora"),
        "there are no B matrices of LoRA",
        "write `adapter: lora`",
    ),
    (
        ["loraplus_lr_embedding"],
        lambda case: not case.config.optimizer.loraplus_lr_ratio,
        "LoRA+ is off",
        "add `loraplus_lr_ratio: 16`",
    ),
    (
        ["gradient_checkpointing_kwargs"],
        lambda case: not case.config.training.gradient_checkpointing,
        "gradient_checkpointing is off",
        "write `gradient_checkpointing: true`",
    ),
    (
        ["group_by_length"],
        lambda case: case.packs,
        "with sample_packing the rows are filled by length already",
        "",
    ),
    (
        ["loss_watchdog_patience"],
        lambda case: not case.config.training.loss_watchdog_threshold,
        "there is no threshold to be above",
        "add loss_watchdog_threshold",
    ),
    (
        ["torch_compile_backend", "torch_compile_mode"],
        lambda case: not case.config.training.torch_compile,
        "torch_compile is off",
        "write `torch_compile: true`",
    ),
    (
        ["auto_resume_from_checkpoints"],
        lambda case: bool(case.config.saving.resume_from_checkpoint),
        "resume_from_checkpoint is set",
        "",
    ),
    (
        ["save_total_limit"],
        lambda case: case.config.saving.save_strategy == "no",
        "no checkpoints are saved",
        "",
    ),
    (
        ["lr_quadratic_warmup"],
        _scheduled_by("cosine"),
        "only the cosine schedule has it",
        "write `lr_scheduler: cosine`",
    ),
    (
        ["cosine_min_lr_ratio"],
        _scheduled_by("cosine", "rex"),
        "another schedule is chosen",
        "write `lr_scheduler: cosine`",
    ),
    (
        ["cosine_constant_lr_ratio"],
        _scheduled_by("cosine"),
        "another schedule is chosen",
        "write `lr_scheduler: cosine`",
    ),
    (
        ["lr_div_factor"],
        _scheduled_by("one_cycle"),
        "another schedule is chosen",
        "write `lr_scheduler: one_cycle`",
    ),
    (
        ["log_sweep_min_lr", "log_sweep_max_lr"],
        _scheduled_by("log_sweep"),
        "another schedule is chosen",
        "write `lr_scheduler: log_sweep`",
    ),
    (
        ["warmup_steps", "warmup_ratio"],
        lambda case: case.config.schedule.lr_scheduler == "log_sweep",
        "a sweep begins with its smallest rate",
        "",
    ),
    (
        ["metric_for_best_model"],
        lambda case: (
            not case.asked(
                "load_best_model_at_end",
                "early_stopping_patience",
                "eval_steps",
                "evals_per_epoch",
            )
        ),
        "the last state is saved, not the best one",
        "add `load_best_model_at_end: true`",
    ),
    *IDLE,
    (
        ["eval_table_max_new_tokens"],
        lambda case: not case.config.tracking.eval_table_size,
        "no table is made",
        "add `eval_table_size: 5`",
    ),
    (
        ["bench_dataset"],
        lambda case: not case.config.evaluation.do_bench_eval,
        "no questions are asked",
        "add `do_bench_eval: true`",
    ),
    (
        ["eval_sample_max_new_tokens"],
        lambda case: not case.config.evaluation.eval_sample_prompts,
        "no prompts are answered",
        'add `eval_sample_prompts: ["Who are you?"]`',
    ),
    (
        ["fsdp_config"],
        lambda case: not case.config.distributed.fsdp,
        "FSDP is off",
        "add `fsdp: [full_shard, auto_wrap]`",
    ),
]
_WITHOUT: Sequence[tuple[str, str]] = [
    ("tokenizer_use_fast", "transformers has fast tokenizers only"),
    ("save_safetensors", "weights are always saved as safetensors"),
]
"""Switches that are always on, and why."""


def idle_because(key: str) -> list[str]:
    """Why an option may change nothing."""
    return [why for keys, _, why, _ in _IDLE if key in keys]


def no_effect(case: Case) -> Iterator[Found]:
    """Say of options that they change nothing, and why."""
    for options, is_idle, why, hint in _IDLE:
        keys = case.asked(*options)
        if keys and is_idle(case):
            verb, them = ("has", "it") if len(keys) == 1 else ("have", "them")
            yield Found(
                "warning",
                keys[0],
                f"{', '.join(keys)} {verb} no effect: {why}",
                f"{hint}, or remove {them}" if hint else f"remove {them}",
                tuple(Edit("remove", key) for key in keys),
            )
    for key, why in _WITHOUT:
        if case.config.written.get(key) is False:
            what = f"{key}: false has no effect: {why}"
            yield Found("warning", key, what, "remove it", (Edit("remove", key),))


TABLE: Table = [(no_effect, "*")]
