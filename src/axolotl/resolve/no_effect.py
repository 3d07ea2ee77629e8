"""Options that are written and change nothing, because of others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from axolotl.config.adapter import AdapterSection
from axolotl.resolve.case import Case, Found

_LORA = [key for key in AdapterSection.model_fields if key.startswith("lora_")]
_LORA_OF_A_NEW_ADAPTER = [key for key in _LORA if key != "lora_model_dir"]

_IDLE: Sequence[tuple[Sequence[str], Callable[[Case], bool], str, str]] = [
    # options, when they are idle, why, the way out
    (
        _LORA,
        lambda case: case.config.adapter.adapter is None,
        "without an adapter all weights are trained",
        "write `adapter: lora`, or remove them",
    ),
    (
        _LORA_OF_A_NEW_ADAPTER,
        lambda case: (
            case.config.adapter.adapter is not None and bool(case.config.adapter.lora_model_dir)
        ),
        "the adapter in lora_model_dir brings its own settings",
        "remove them, or remove lora_model_dir to begin a new adapter",
    ),
    (
        ["eval_batch_size", "eval_sample_packing"],
        lambda case: case.config.data.val_set_size == 0,
        "no rows are held out",
        "hold rows out: `val_set_size: 0.05`",
    ),
    (
        ["adam_beta1", "adam_beta2", "adam_epsilon"],
        lambda case: "adam" not in case.config.optimizer.optimizer,
        "the optimizer is no Adam",
        "remove them, or choose `optimizer: adamw_torch`",
    ),
    (
        ["gradient_checkpointing_kwargs"],
        lambda case: not case.config.training.gradient_checkpointing,
        "gradient_checkpointing is off",
        "write `gradient_checkpointing: true`, or remove it",
    ),
    (
        ["auto_resume_from_checkpoints"],
        lambda case: bool(case.config.saving.resume_from_checkpoint),
        "resume_from_checkpoint is set",
        "remove one of the two",
    ),
    (
        ["save_total_limit"],
        lambda case: case.config.saving.save_strategy == "no",
        "no checkpoints are saved",
        "remove it",
    ),
    (
        ["tf32"],
        lambda case: not case.machine.gpu,
        "there is no GPU here",
        "remove it, or keep it for a machine with one",
    ),
    (
        ["dataset_processes"],
        lambda _: True,
        "one process tokenizes on all cores",
        "remove it",
    ),
]


def no_effect(case: Case) -> Iterator[Found]:
    """Say of options that they change nothing, and why."""
    for options, is_idle, why, hint in _IDLE:
        keys = case.asked(*options)
        if keys and is_idle(case):
            verb = "has" if len(keys) == 1 else "have"
            yield Found("warning", keys[0], f"{', '.join(keys)} {verb} no effect: {why}", hint)
    model = case.config.model
    if not model.tokenizer_use_fast:
        yield Found(
            "warning",
            "tokenizer_use_fast",
            "tokenizer_use_fast: false has no effect: transformers has fast tokenizers only",
            "remove it",
        )
