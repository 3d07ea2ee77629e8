"""Up, level, down: the learning rate stays at its highest until the last part of the training."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from axolotl.schedules import short_warmup

default_warmup = short_warmup
Shape = Literal["linear", "cosine", "1-sqrt"]
_DECAY = 0.1
"""Share of all steps in which it falls, where nothing is said of it."""


class Options(BaseModel):
    """The length of its parts, and their shapes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_decay_steps: int | None = Field(
        None, ge=0, description="Steps in which it falls; by default a tenth of all."
    )
    num_stable_steps: int | None = Field(
        None, ge=0, description="Steps in which it is level; by default what is left."
    )
    warmup_type: Shape = Field("linear", description="Shape of the rise.")
    decay_type: Shape = Field("cosine", description="Shape of the fall.")
    min_lr_ratio: float = Field(
        0.0, ge=0, le=1, description="Where it begins and ends, as a share of the highest."
    )
    num_cycles: float = Field(0.5, gt=0, description="Waves of the cosine of the fall.")


def factor(step: int, total_steps: int, warmup_steps: int, options: Options) -> float:
    """Rises to 1 during the warm-up, stays there, and falls to `min_lr_ratio`.

    >>> [round(factor(step, 8, 2, Options(num_decay_steps=2)), 3) for step in range(9)]
    [0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.0]
    """
    low = options.min_lr_ratio
    if step < warmup_steps:
        return _rise(step / warmup_steps, options.warmup_type) * (1.0 - low) + low
    decay = options.num_decay_steps
    decay = math.ceil(_DECAY * total_steps) if decay is None else decay
    stable = options.num_stable_steps
    stable = total_steps - warmup_steps - decay if stable is None else stable
    begin = warmup_steps + stable
    if step < begin:
        return 1.0
    if step >= begin + decay:
        return low
    return max(0.0, _fall((step - begin) / max(1, decay), options) * (1.0 - low) + low)


def _rise(done: float, shape: Shape) -> float:
    if shape == "cosine":
        return (1.0 - math.cos(math.pi * done)) / 2.0
    return done if shape == "linear" else 1.0 - math.sqrt(1.0 - done)


def _fall(done: float, options: Options) -> float:
    if options.decay_type == "cosine":
        return (1.0 + math.cos(2.0 * math.pi * options.num_cycles * done)) / 2.0
    return 1.0 - (done if options.decay_type == "linear" else math.sqrt(done))
