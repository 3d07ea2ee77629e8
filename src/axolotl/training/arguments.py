"""The file's options as transformers' `TrainingArguments`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import TrainingArguments

from axolotl.config.distributed import DistributedSection
from axolotl.config.optimizer import OptimizerSection
from axolotl.config.precision import PrecisionSection
from axolotl.config.saving import SavingSection
from axolotl.config.training import TrainingSection
from axolotl.training.distributed.deepspeed import deepspeed_arguments
from axolotl.training.distributed.fsdp import fsdp_arguments, mixed_precision
from axolotl.training.precision import formats

_CHECKPOINTING = (
    "activation_checkpointing"
    if hasattr(TrainingArguments, "activation_checkpointing")
    else "gradient_checkpointing"  # before transformers 5.21, the newest on Python 3.10
)

DDP = ("ddp_timeout", "ddp_bucket_cap_mb", "ddp_broadcast_buffers", "ddp_find_unused_parameters")
"""Options that only several processes have a use for."""


@dataclass(frozen=True)
class Cadence:
    """When something happens.

    Args:
        strategy: `no`, `epoch` or `steps`.
        steps: Optimizer steps between two times; only for `steps`.
    """

    strategy: str
    steps: int | None = None


def every(
    strategy: str, steps: float | None, total_steps: int, *, per_epoch: int | None = None
) -> Cadence:
    """Resolve steps given as a share of the training.

    Args:
        strategy: `no`, `epoch` or `steps`.
        steps: A count, or a share of all steps if below 1.
        total_steps: Optimizer steps of the training.
        per_epoch: So many times in each epoch instead, which is left to `PerEpoch`.
    """
    if per_epoch is not None:
        return Cadence("no")
    if strategy != "steps" or steps is None:
        return Cadence(strategy)
    return Cadence(strategy, max(1, int(steps * total_steps)) if steps < 1 else int(steps))


def training_arguments(
    *,
    training: TrainingSection,
    optimizer: OptimizerSection,
    precision: PrecisionSection,
    saving: SavingSection,
    distributed: DistributedSection,
    save: Cadence,
    evaluate: Cadence,
    logging_steps: int,
    total_steps: int,
    accumulation_steps: int,
) -> TrainingArguments:
    """Arguments of one run; numbers that depend on the data come resolved.

    Args:
        training: Loop options.
        optimizer: Optimizer options.
        precision: Precision options.
        saving: Output folder.
        distributed: How several processes work together.
        save: When checkpoints are written.
        evaluate: When the held-out loss is computed.
        logging_steps: Steps between two log lines.
        total_steps: Optimizer steps of the training.
        accumulation_steps: Rows per optimizer step and process.
    """
    on_gpu = torch.cuda.is_available()
    extra: dict[str, Any] = {
        _CHECKPOINTING: training.gradient_checkpointing,
        f"{_CHECKPOINTING}_kwargs": training.gradient_checkpointing_kwargs
        or {"use_reentrant": False},
    }
    autocast = formats(precision, gpu=on_gpu).autocast
    if on_gpu and precision.tf32:
        extra["tf32"] = True
    arguments = TrainingArguments(
        output_dir=str(saving.output_dir),
        per_device_train_batch_size=1,
        gradient_accumulation_steps=accumulation_steps,
        max_steps=total_steps,
        seed=training.seed,
        optim="adamw_torch",  # not asked: the trainer builds its own
        learning_rate=optimizer.learning_rate,
        weight_decay=optimizer.weight_decay,
        adam_beta1=optimizer.adam_beta1,
        adam_beta2=optimizer.adam_beta2,
        adam_epsilon=optimizer.adam_epsilon,
        max_grad_norm=optimizer.max_grad_norm,
        bf16=autocast == torch.bfloat16,
        fp16=autocast == torch.float16,
        use_cpu=not on_gpu,
        save_strategy=save.strategy,
        save_steps=save.steps or 500,
        save_total_limit=saving.save_total_limit,
        eval_strategy=evaluate.strategy,
        eval_steps=evaluate.steps,
        logging_steps=logging_steps,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to="none",
        remove_unused_columns=False,
        dataloader_pin_memory=on_gpu,
        **_ddp(distributed),
        **fsdp_arguments(distributed, on_gpu=on_gpu),
        **deepspeed_arguments(distributed, training, on_gpu=on_gpu),
        **extra,
    )
    if distributed.fsdp:
        plugin: Any = arguments.fsdp_plugin_args
        plugin["mixed_precision_policy"] = mixed_precision(autocast)
    return arguments


def _ddp(distributed: DistributedSection) -> dict[str, Any]:
    """Options of several processes; those that the file does not name keep the library's default."""
    given = {key: getattr(distributed, key) for key in DDP}
    unused = distributed.ddp_find_unused_parameters
    return {
        **{key: value for key, value in given.items() if value is not None},
        # Every weight that is trained has a gradient in every step; looking for others costs time.
        "ddp_find_unused_parameters": bool(unused),
    }
