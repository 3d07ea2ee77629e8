"""A DeepSpeed configuration beside a file of options: what both speak of, said once.

Optimizer, schedule, batches and number formats are those of the file. So blocks of DeepSpeed's for
the first two are left out, and numbers for the others are filled in; one that says something else is
told with both values.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from axolotl.config import Sections
from axolotl.config.distributed import DistributedSection

Block = dict[str, Any]
AUTO = "auto"
OFFLOADABLE = ("adamw_torch", "adamw_torch_fused", "adamw_hf", "adamw_apex_fused")
"""Optimizers that DeepSpeed has a form of for the CPU, with the same options."""
_BATCHES = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps")
_LEFT_OUT = ("optimizer", "scheduler")
_SHIPPED = "zero1.json, zero2.json, zero2_offload.json, zero3.json and zero3_offload.json"


class DeepSpeedFault(Exception):
    """A configuration that cannot be read; its text says why, `hint` the way out."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def read_deepspeed(given: str | Mapping[str, Any]) -> Block:
    """The configuration, as it is written.

    Args:
        given: What `deepspeed` says: the name of a JSON file, or its content.

    Raises:
        DeepSpeedFault: there is no such file, or it holds no configuration.
    """
    if not isinstance(given, str):
        return dict(given)
    hint = f"the folder deepspeed/ of the project has {_SHIPPED}"
    try:
        text = Path(given).expanduser().read_text("utf-8-sig")
        content = json.loads(text)
    except FileNotFoundError as error:
        raise DeepSpeedFault(f"there is no file '{given}'", hint) from error
    except (ValueError, OSError, RuntimeError, RecursionError) as error:
        raise DeepSpeedFault(f"'{given[:80]}' is no JSON file: {str(error)[:200]}", hint) from error
    if not isinstance(content, dict):
        raise DeepSpeedFault(f"'{given}' holds no mapping", hint)
    return cast("Block", content)


def zero_stage(content: Mapping[str, Any]) -> int:
    """What is cut up: 1 optimizer states, 2 gradients too, 3 weights too; 0 nothing."""
    stage = block(content, "zero_optimization").get("stage", 0)
    return stage if isinstance(stage, int) else 0


def cuts_weights(options: DistributedSection) -> bool:
    """Whether each process holds a part of each weight alone, and not just of the optimizer's states."""
    if options.fsdp:
        return True
    try:
        return bool(options.deepspeed) and zero_stage(read_deepspeed(options.deepspeed or {})) == 3
    except DeepSpeedFault:
        return False  # said by a rule


def offloads(content: Mapping[str, Any]) -> bool:
    """Whether optimizer states are kept in the memory of the CPU, which a form of its own needs."""
    device = block(block(content, "zero_optimization"), "offload_optimizer").get("device", "none")
    return device != "none"


def block(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A part of a configuration; empty where it is not there."""
    found = content.get(name)
    return cast("Mapping[str, Any]", found) if isinstance(found, Mapping) else {}


def contradictions(
    content: Mapping[str, Any], options: Sections
) -> Iterator[tuple[str, Any, str, Any]]:
    """Where both say something else: name and value there, name and value of the option."""
    for there, found, key, value in _pairs(content, options):
        if found not in (None, AUTO) and value is not None and not _same(found, value):
            yield there, found, key, value


def _same(found: Any, value: Any) -> bool:
    if isinstance(found, list) and isinstance(value, list):
        pairs = zip(cast("list[Any]", found), cast("list[Any]", value), strict=False)
        return all(_same(a, b) for a, b in pairs)
    return found == value


def _pairs(content: Mapping[str, Any], options: Sections) -> Iterator[tuple[str, Any, str, Any]]:
    training, optimizer, precision = options.training, options.optimizer, options.precision
    yield (
        _BATCHES[1],
        content.get(_BATCHES[1]),
        "micro_batch_size",
        training.micro_batch_size,
    )
    yield (
        _BATCHES[2],
        content.get(_BATCHES[2]),
        "gradient_accumulation_steps",
        training.gradient_accumulation_steps,
    )
    yield (
        "gradient_clipping",
        content.get("gradient_clipping"),
        "max_grad_norm",
        optimizer.max_grad_norm,
    )
    for name, asked in (("bf16", precision.bf16), ("fp16", precision.fp16)):
        value = None if asked == AUTO else bool(asked)
        yield f"{name}.enabled", block(content, name).get("enabled"), name, value
    own = block(block(content, "optimizer"), "params")
    adam = [optimizer.adam_beta1, optimizer.adam_beta2]
    for name, key, value in (
        ("lr", "learning_rate", optimizer.learning_rate),
        ("betas", "adam_beta1, adam_beta2", adam),
        ("eps", "adam_epsilon", optimizer.adam_epsilon),
        ("weight_decay", "weight_decay", optimizer.weight_decay),
    ):
        yield f"optimizer.params.{name}", own.get(name), key, value
    plan = block(block(content, "scheduler"), "params")
    rate, warmup = optimizer.learning_rate, options.schedule.warmup_steps
    yield "scheduler.params.warmup_max_lr", plan.get("warmup_max_lr"), "learning_rate", rate
    yield "scheduler.params.warmup_num_steps", plan.get("warmup_num_steps"), "warmup_steps", warmup


def left_out(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The blocks that the options of the file take the place of, each with the type that it names."""
    return [
        (name, str(block(content, name).get("type", "?"))) for name in _LEFT_OUT if name in content
    ]


def as_run(content: Mapping[str, Any]) -> Block:
    """The configuration that a run hands to DeepSpeed: batches and formats follow the file's options.

    A row holds `micro_batch_size` samples, so it counts one row where DeepSpeed counts samples.
    """
    run: Block = {key: value for key, value in content.items() if key not in _LEFT_OUT}
    run |= dict.fromkeys((*_BATCHES, "gradient_clipping"), AUTO)
    for name in ("bf16", "fp16"):
        run[name] = {**block(content, name), "enabled": AUTO}
    return run
