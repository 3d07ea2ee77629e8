"""Up along half a cosine wave and down along another, to almost nothing: the 1cycle policy.

Every rate is that of torch's `OneCycleLR` with its cosine strategy, its `final_div_factor` of 10,000,
and a `pct_start` of the warm-up's share of the steps; without a warm-up in the file that is torch's
0.3, in whole steps. The momentum stays as it is.
"""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict, Field


class Options(BaseModel):
    """How far below the peak it begins and ends."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lr_div_factor: float = Field(
        6.0, gt=1, description="It begins at the learning rate divided by this."
    )
    final_div_factor: float = Field(
        1e4, gt=0, description="It ends at what it began with, divided by this."
    )


def default_warmup(total_steps: int) -> int:
    """Three steps in ten, and the first of a training that has no more."""
    return max(1, round(0.3 * total_steps))


def factor(step: int, total_steps: int, warmup_steps: int, options: Options) -> float:
    """Rises to 1 at the last step of the warm-up, and falls until the last step of all.

    >>> [round(factor(step, 7, 3, Options()), 3) for step in range(7)]
    [0.167, 0.583, 1.0, 0.854, 0.5, 0.146, 0.0]
    """
    start = 1.0 / options.lr_div_factor
    end = start / options.final_div_factor
    peak_at, end_at = warmup_steps - 1, total_steps - 1
    if step < peak_at:
        return _between(start, 1.0, step / peak_at)
    if step >= end_at:
        return 1.0 if peak_at == end_at == step else end
    return _between(1.0, end, (step - peak_at) / (end_at - peak_at))


def _between(first: float, last: float, done: float) -> float:
    return last + (first - last) * (1.0 + math.cos(math.pi * done)) / 2.0
