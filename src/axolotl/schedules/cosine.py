"""Down to 0 along half a cosine wave: slowly, fast, slowly."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict, Field

from axolotl.schedules import short_warmup

default_warmup = short_warmup


class Options(BaseModel):
    """How it rises, and how far the wave goes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_cycles: float = Field(
        0.5, gt=0, description="Waves of the cosine from warm-up to end; half of one ends at 0."
    )
    lr_quadratic_warmup: bool = Field(
        False, description="Rise with the square of the steps instead of in a straight line."
    )


def factor(step: int, total_steps: int, warmup_steps: int, options: Options) -> float:
    """Rises from 0 to 1 during the warm-up, then follows a cosine.

    >>> [round(factor(step, 6, 2, Options()), 3) for step in range(7)]
    [0.0, 0.5, 1.0, 0.854, 0.5, 0.146, 0.0]
    >>> [factor(step, 6, 2, Options(lr_quadratic_warmup=True)) for step in range(3)]
    [0.0, 0.25, 1.0]
    """
    if step < warmup_steps:
        return (step / warmup_steps) ** (2 if options.lr_quadratic_warmup else 1)
    done = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return max(0.0, (1.0 + math.cos(2.0 * math.pi * options.num_cycles * done)) / 2.0)
