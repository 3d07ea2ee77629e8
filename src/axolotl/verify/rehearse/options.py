"""From the options of the file to those of a rehearsal, with every replacement said.

What is said of a replacement also says what stays unproven for it, because that is what a user wants
to know who is about to pay for the real run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from axolotl.config import Config
from axolotl.verify.rehearse.records import Replacement

STEPS = 3
SAVED_AT = 2
"""Step of the checkpoint that the killed run leaves."""
LONGEST = 512
HELD_OUT_ROWS = 4
_UNPAGED = {
    "paged_adamw_32bit": "adamw_torch",
    "paged_adamw_8bit": "adamw_bnb_8bit",
    "paged_lion_32bit": "lion_32bit",
    "paged_lion_8bit": "lion_8bit",
    "paged_ademamix_32bit": "ademamix",
    "paged_ademamix_8bit": "ademamix_8bit",
}
_KERNELS = (
    "flash_attention",
    "xformers_attention",
    "flash_attn_cross_entropy",
    "flash_attn_rms_norm",
    "liger_fused_linear_cross_entropy",
    "cut_cross_entropy",
)
_CPU_ATTENTION = ("per_document", "sdpa", "eager", "landmark")
_LEFT_OUT: Mapping[str, str] = {
    "deepspeed": "training on several GPUs by DeepSpeed",
    "fsdp": "training on several GPUs by FSDP",
    "wandb_project": "logging to Weights & Biases",
    "use_mlflow": "logging to MLflow",
    "hub_model_id": "sending the result to the hub",
    "push_dataset_to_hub": "sending prepared data to the hub",
    "torch_compile": "compiled code",
    "lora_model_dir": "that the adapter in lora_model_dir fits",
    "do_bench_eval": "questions with several answers",
    "early_stopping_patience": "stopping early",
    "loss_watchdog_threshold": "the loss watchdog",
    "resume_from_checkpoint": "going on from a checkpoint that there is",
    "dataset_lock": "the lock file of the data",
    "load_best_model_at_end": "that the best checkpoint becomes the result",
    "metric_for_best_model": "which checkpoint is the best",
    "greater_is_better": "which checkpoint is the best",
    "save_total_limit": "that older checkpoints are cleared away",
    "trust_remote_code": "the code that comes with the model, which is not run",
    "dataset_shard_num": "the shards of the data",
}
"""Options that a rehearsal goes without → what stays unproven."""
_CADENCE: Mapping[str, str] = {
    "save_strategy": f"a checkpoint after step {SAVED_AT}",
    "save_steps": f"a checkpoint after step {SAVED_AT}",
    "saves_per_epoch": f"a checkpoint after step {SAVED_AT}",
    "evaluation_strategy": f"one evaluation, after step {STEPS}",
    "eval_steps": f"one evaluation, after step {STEPS}",
    "evals_per_epoch": f"one evaluation, after step {STEPS}",
}
"""Options of when something is done → when a rehearsal does it."""
_SILENTLY = (
    *("output_dir", "dataset_prepared_path", "base_model_config", "base_model_ignore_patterns"),
    *("hf_use_auth_token", "tokenizer_config", "fsdp_config"),
    *("dataset_shard_idx", "dataset_processes", "local_rank", "strict", "debug", "lora_out_dir"),
    *("ddp_timeout", "ddp_bucket_cap_mb", "ddp_broadcast_buffers", "ddp_find_unused_parameters"),
    *(
        "auto_resume_from_checkpoints",
        "total_num_tokens",
        "sample_packing_eff_est",
        "logging_steps",
        "loss_watchdog_patience",
    ),
    *("wandb_mode", "wandb_entity", "wandb_run_id", "wandb_name", "wandb_watch", "wandb_log_model"),
    *("eval_table_size", "eval_table_max_new_tokens", "mlflow_tracking_uri", "bench_dataset"),
    *("mlflow_experiment_name", "mlflow_run_name", "hf_mlflow_log_artifacts", "hub_strategy"),
    *("torch_compile_backend", "torch_compile_mode", "torchdistx_path", "gptq_groupsize"),
    *("gptq_model_v1", "test_datasets", "tf32", "is_llama_derived_model"),
    *(
        "is_falcon_derived_model",
        "is_mistral_derived_model",
        "num_epochs",
        "max_packed_sequence_len",
    ),
)
"""Options of places, services and cadence, which say nothing of what is rehearsed."""


class Options:
    """Options in the making.

    Args:
        config: The configuration of the file.

    Attributes:
        values: Those of the rehearsal, as `load_config` takes them.
        said: What was replaced.
    """

    def __init__(self, config: Config) -> None:
        self.values: dict[str, Any] = config.given()
        self.said: list[Replacement] = []

    def put(self, key: str, value: Any, unproven: str = "", *, word: str = "") -> None:
        """Replace a value, and say so where the file has another one."""
        was = self.values.get(key)
        if was == value:
            return
        self.values[key] = value
        if was is not None:
            self.said.append(Replacement(key, _text(was), word or _text(value), unproven))

    def leave_out(self, key: str, unproven: str = "", *, instead: str = "") -> None:
        """Go without an option, and say so where it asks for something."""
        was = self.values.pop(key, None)
        if was not in (None, False, "", [], {}):
            self.said.append(Replacement(key, _text(was), instead, unproven))

    def at_most(self, key: str, most: int, unproven: str = "") -> None:
        """Bound a number that the file gives."""
        value = self.values.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and value > most:
            self.put(key, most, unproven)


def rehearsed_options(config: Config, *, packs: bool) -> Options:
    """The options of a rehearsal, but for its model and data.

    Args:
        config: The configuration of the file, without errors for a machine with a GPU.
        packs: Whether its samples share rows.
    """
    options = Options(config)
    options.values["sample_packing"] = packs
    for change in (_precision, _attention, _optimizer, _sizes, _steps, _adapter, _evaluation):
        change(options)
    options.leave_out(
        "model_revision", "the weights of that revision", instead="its config and tokenizer only"
    )
    for key, unproven in _LEFT_OUT.items():
        options.leave_out(key, unproven)
    for key in _SILENTLY:
        options.values.pop(key, None)
    return options


def _precision(options: Options) -> None:
    """CPUs train in float32 and bfloat16; TensorFloat-32 is a format of GPUs."""
    values = options.values
    if values.get("fp16"):
        options.put("fp16", False, "losses and gradients in float16", word="float32")
    if values.get("float16"):
        options.put("float16", False, "weights held in float16", word="float32")
    if values.get("bf16") == "auto":
        options.put("bf16", True, word="true, as on a GPU that has it")
    if values.get("tf32"):
        options.leave_out("tf32", "matrix products in TensorFloat-32", instead="float32")


def _attention(options: Options) -> None:
    for key in _KERNELS:
        options.leave_out(key, "the kernels of " + key, instead=_instead_of(key))
    asked = options.values.get("attn_implementation")
    if asked is not None and asked not in _CPU_ATTENTION:
        options.leave_out(
            "attn_implementation", f"the kernels of {asked}", instead="attention per document"
        )


def _instead_of(key: str) -> str:
    return "attention per document" if key.endswith("_attention") else "plain torch"


def _optimizer(options: Options) -> None:
    name = options.values.get("optimizer")
    if name in _UNPAGED:
        options.put("optimizer", _UNPAGED[name], "paging of the optimizer's states to a CPU")


def _sizes(options: Options) -> None:
    values = options.values
    values.setdefault("sequence_len", 2048)
    length = values["sequence_len"]
    if length > LONGEST:
        options.put("sequence_len", LONGEST, f"memory and speed at {length:,} tokens")
    if values.get("pad_to_sequence_len") is False:
        values.pop("pad_to_sequence_len")
    for key in ("micro_batch_size", "eval_batch_size", "gradient_accumulation_steps"):
        options.at_most(key, 2)
    options.at_most("eval_sample_max_new_tokens", 8)
    options.at_most("streaming_multipack_buffer_size", 16)


def _steps(options: Options) -> None:
    """Three steps: a checkpoint after the second, in which every schedule has room."""
    values = options.values
    epochs, most = values.get("num_epochs"), values.get("max_steps")
    length = f"{most} steps" if most else f"{epochs or 1:g} epochs"
    options.said.append(
        Replacement(
            "max_steps" if most else "num_epochs", length, f"{STEPS} steps", "that it learns"
        )
    )
    values.pop("max_steps", None)
    options.at_most("warmup_steps", 1)
    options.at_most("relora_steps", SAVED_AT)
    if values.get("relora_steps"):
        values["relora_warmup_steps"] = 1
        options.at_most("relora_anneal_steps", 1)
    schedule = values.get("lr_scheduler_kwargs")
    if schedule:
        values["lr_scheduler_kwargs"] = {
            k: min(v, 1) if k.endswith("_steps") and isinstance(v, int) else v
            for k, v in schedule.items()
        }


def _adapter(options: Options) -> None:
    """A tiny model has two layers: what names others names these."""
    values = options.values
    layers = values.get("peft_layers_to_transform")
    if layers is not None:
        few = sorted({min(n, 1) for n in (layers if isinstance(layers, list) else [layers])})
        options.put("peft_layers_to_transform", few)
    if values.get("peft_layer_replication"):
        options.put("peft_layer_replication", [[0, 2], [0, 2]])
    if values.get("unfrozen_parameters"):
        options.put("unfrozen_parameters", [_low(name) for name in values["unfrozen_parameters"]])
    if values.get("adapter") == "llama-adapter":
        values["peft_adapter"] = {**(values.get("peft_adapter") or {}), "layers": 2}


def _low(pattern: str) -> str:
    r"""A pattern of weights with layer numbers that a tiny model has.

    >>> _low(r"model\.layers\.31\.mlp"), _low("lm_head.weight")
    ('model\\.layers\\.1\\.mlp', 'lm_head.weight')
    """

    def number(found: re.Match[str]) -> str:
        return f"{found[1]}{min(int(found[2]), 1)}"

    return re.sub(r"((?:layers|h|blocks)\\?\.)(\d+)", number, pattern)


def _evaluation(options: Options) -> None:
    values = options.values
    evaluates = bool(values.get("val_set_size") or values.get("test_datasets"))
    for key, instead in _CADENCE.items():
        about_eval = key.startswith("eval")
        options.leave_out(
            key,
            f"how often it is {'evaluated' if about_eval else 'saved'}",
            instead=instead
            if evaluates or not about_eval
            else "no evaluation: no rows are held out",
        )
    prompts = values.get("eval_sample_prompts")
    if isinstance(prompts, list):
        values["eval_sample_prompts"] = prompts[:2]
    if values.get("val_set_size"):
        options.put("val_set_size", HELD_OUT_ROWS, word=f"{HELD_OUT_ROWS} rows")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
