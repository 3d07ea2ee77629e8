"""Rules across options. Each is a small function; `RULES` is the table of all of them.

They are held against what is written, before defaults are filled in. A message begins with the key
that it is about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from axolotl.registry import nearest
from axolotl.resolve.case import Case, Found, Rule
from axolotl.resolve.names import attention_name, dataset_types, schedule_name
from axolotl.resolve.no_effect import no_effect

_MANY_TOKENS = 2**18
_CHECKPOINTING = ("use_reentrant", "preserve_rng_state", "determinism_check", "debug")


def one_strategy_for_saving(case: Case) -> Iterator[Found]:
    """`save_steps` says `steps`, and `steps` needs to know how many."""
    saving = case.config.saving
    yield from _strategy("save_strategy", saving.save_strategy, "save_steps", saving.save_steps)


def one_strategy_for_evaluation(case: Case) -> Iterator[Found]:
    """The same for evaluations."""
    evaluation = case.config.evaluation
    strategy, steps = evaluation.evaluation_strategy, evaluation.eval_steps
    yield from _strategy("evaluation_strategy", strategy, "eval_steps", steps)


def _strategy(
    key: str, strategy: str | None, steps_key: str, steps: float | None
) -> Iterator[Found]:
    if steps is not None and strategy not in (None, "steps"):
        yield Found(
            "error",
            steps_key,
            f"{steps_key}: {steps} and `{key}: {strategy}` exclude each other",
            f"remove {steps_key}, or write `{key}: steps`",
        )
    if strategy == "steps" and steps is None:
        yield Found("error", key, f"{key}: steps needs {steps_key}", f"add `{steps_key}: 100`")


def rows_to_evaluate_on(case: Case) -> Iterator[Found]:
    """Evaluations need held-out rows."""
    config = case.config
    keys = case.asked("eval_steps")
    if config.evaluation.evaluation_strategy not in (None, "no"):
        keys.append("evaluation_strategy")
    if not keys or config.data.val_set_size != 0:
        return
    if "val_set_size" in config.written:
        yield Found(
            "error",
            keys[0],
            f"{keys[0]}: there is nothing to evaluate on, because val_set_size is 0",
            f"remove {keys[0]}, or hold rows out: `val_set_size: 0.05`",
        )
    else:
        yield Found(
            "warning",
            keys[0],
            f"{keys[0]} has no effect: no rows are held out",
            "hold rows out: `val_set_size: 0.05`",
        )


def one_warmup(case: Case) -> Iterator[Found]:
    """The warm-up is given once."""
    schedule = case.config.schedule
    if schedule.warmup_steps is not None and schedule.warmup_ratio is not None:
        yield Found(
            "error",
            "warmup_ratio",
            f"warmup_ratio: {schedule.warmup_ratio} and `warmup_steps: {schedule.warmup_steps}` "
            "exclude each other",
            "remove one of the two",
        )


def one_half_precision(case: Case) -> Iterator[Found]:
    """The number format is given once."""
    precision = case.config.precision
    if precision.float16 and precision.bfloat16:
        yield Found(
            "error",
            "float16",
            "float16 and bfloat16: weights can be held in one of them only",
            "remove one of the two",
        )
    if precision.bf16 is True and precision.fp16:
        yield Found(
            "warning",
            "fp16",
            "fp16 has no effect: bf16 is set as well, and wins",
            "remove one of the two",
        )


def machine_computes_it(case: Case) -> Iterator[Found]:
    """The machine has the number format; one that only prepares or merges need not."""
    precision, machine = case.config.precision, case.machine
    level = "error" if case.trains else "warning"
    if precision.fp16 and not machine.gpu and precision.bf16 is not True:
        yield Found(
            level,
            "fp16",
            "fp16: there is no GPU here, and CPUs do not train in float16",
            "write `fp16: false`; on this machine float32 is the fastest",
        )
    if precision.bf16 is True and machine.gpu and not machine.bf16:
        yield Found(
            level,
            "bf16",
            "bf16: the GPU has no bfloat16 (it needs Ampere or newer)",
            "write `bf16: auto`, or use fp16",
        )
    written = case.config.written.keys()
    if machine.bf16 and case.trains and not written & {"bf16", "fp16", "bfloat16", "float16"}:
        yield Found(
            "info",
            "bf16",
            "bf16: the GPU computes in bfloat16, which is faster, but it is not switched on",
            "write `bf16: auto`",
        )


def pure_float16(case: Case) -> Iterator[Found]:
    """Adam's small numbers vanish in float16."""
    config = case.config
    if config.precision.float16 and config.adapter.adapter is None:
        yield Found(
            "warning",
            "float16",
            "float16: training all weights in float16 soon gives losses that are no numbers",
            "write `bfloat16: true`, or `fp16: true` on a GPU",
        )


def padding(case: Case) -> Iterator[Found]:
    """Padding is worth its time only where a constant shape is."""
    sequence = case.config.sequence
    if sequence.pad_to_sequence_len and not sequence.sample_packing:
        rows = case.config.training.micro_batch_size
        yield Found(
            "warning",
            "pad_to_sequence_len",
            f"pad_to_sequence_len: every row is filled up to {rows * sequence.sequence_len:,} "
            "tokens, mostly with padding",
            "add `sample_packing: true`, or remove it: rows need no padding here",
        )
    elif sequence.pad_to_sequence_len and not case.machine.gpu:
        yield Found(
            "info",
            "pad_to_sequence_len",
            "pad_to_sequence_len: padding costs time and gains nothing on a CPU",
            "remove it",
        )


def tokens_in_a_row(case: Case) -> Iterator[Found]:
    """A row that is too long for memory is better known before an hour of preparation."""
    config = case.config
    tokens = config.training.micro_batch_size * config.sequence.sequence_len
    if tokens > _MANY_TOKENS:
        yield Found(
            "warning",
            "micro_batch_size" if case.asked("micro_batch_size") else "sequence_len",
            f"micro_batch_size times sequence_len: one row of {tokens:,} tokens takes very much memory",
            "lower one of them, and raise gradient_accumulation_steps to make up for it",
        )


def adapter_targets(case: Case) -> Iterator[Found]:
    """Say what is adapted where the file does not."""
    adapter = case.config.adapter
    if adapter.adapter is None or adapter.lora_model_dir:
        return
    if not adapter.lora_target_modules and not adapter.lora_target_linear:
        yield Found(
            "info",
            "adapter",
            "adapter: no layers are named, so all linear layers are adapted",
            "write `lora_target_linear: true`, or name some in lora_target_modules",
        )


def remote_code(case: Case) -> Iterator[Found]:
    """Code from elsewhere is worth a look."""
    if case.config.model.trust_remote_code:
        yield Found(
            "warning",
            "trust_remote_code",
            "trust_remote_code: Python code that comes with the model will be run",
            "read it first, and pin it with model_revision",
        )


def old_optimizer_names(case: Case) -> Iterator[Found]:
    """Names that transformers has dropped."""
    name = case.config.optimizer.optimizer
    new = {"adamw_hf": "adamw_torch", "adamw_apex_fused": "adamw_torch_fused"}
    if name in new:
        yield Found(
            "warning",
            "optimizer",
            f"optimizer: {name} is gone; {new[name]} is used, the same method",
            f"write `optimizer: {new[name]}`",
        )


def larger_evaluation_rows(case: Case) -> Iterator[Found]:
    """Memory that sufficed for training may not for evaluation."""
    training = case.config.training
    if (training.eval_batch_size or 0) > training.micro_batch_size:
        yield Found(
            "info",
            "eval_batch_size",
            f"eval_batch_size: rows for evaluation are larger than the {training.micro_batch_size} "
            "for training and may need more memory",
        )


def output_is_not_input(case: Case) -> Iterator[Found]:
    """A training must not write over what it starts from; answering from `output_dir` is fine."""
    output = Path(case.config.saving.output_dir).resolve()
    if case.trains and Path(case.config.model.base_model).resolve() == output:
        yield Found(
            "error",
            "output_dir",
            "output_dir: the result would overwrite base_model",
            "choose another folder",
        )


def checkpointing_arguments(case: Case) -> Iterator[Found]:
    """`gradient_checkpointing_kwargs` are arguments of torch's checkpointing."""
    for name in case.config.training.gradient_checkpointing_kwargs or {}:
        if name in _CHECKPOINTING:
            continue
        guess = nearest(name, _CHECKPOINTING)
        yield Found(
            "error",
            f"gradient_checkpointing_kwargs.{name}",
            f"gradient_checkpointing_kwargs.{name}: torch's checkpointing has no such argument",
            f"did you mean '{guess}'?" if guess else f"it has {', '.join(_CHECKPOINTING)}",
        )


_TABLE: Sequence[tuple[Callable[[Case], Iterator[Found]], str]] = [
    (one_strategy_for_saving, "save_strategy save_steps"),
    (one_strategy_for_evaluation, "evaluation_strategy eval_steps"),
    (rows_to_evaluate_on, "val_set_size eval_steps evaluation_strategy"),
    (one_warmup, "warmup_steps warmup_ratio"),
    (one_half_precision, "bf16 fp16 bfloat16 float16"),
    (machine_computes_it, "bf16 fp16"),
    (pure_float16, "float16 adapter"),
    (padding, "pad_to_sequence_len sample_packing"),
    (checkpointing_arguments, "gradient_checkpointing_kwargs"),
    (tokens_in_a_row, "micro_batch_size sequence_len"),
    (adapter_targets, "adapter lora_target_modules lora_target_linear"),
    (remote_code, "trust_remote_code"),
    (old_optimizer_names, "optimizer"),
    (larger_evaluation_rows, "eval_batch_size micro_batch_size"),
    (output_is_not_input, "output_dir base_model"),
    (dataset_types, "datasets train_on_inputs"),
    (schedule_name, "lr_scheduler lr_scheduler_kwargs"),
    (attention_name, "attn_implementation"),
    (no_effect, "*"),
]

RULES: Sequence[Rule] = [
    Rule(check.__name__.replace("_", "-"), tuple(keys.split()), check) for check, keys in _TABLE
]
"""All rules."""
