"""Down along half a cosine wave: slowly, fast, slowly; to 0, or to a floor."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict, Field

from axolotl.schedules import short_warmup

default_warmup = short_warmup


class Options(BaseModel):
    """How it rises, how far the wave goes, and where it ends."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_cycles: float = Field(
        0.5, gt=0, description="Waves of the cosine from warm-up to end; half of one ends at 0."
    )
    lr_quadratic_warmup: bool = Field(
        False, description="Rise with the square of the steps instead of in a straight line."
    )
    cosine_min_lr_ratio: float = Field(0.0, ge=0, le=1, description="The floor.")
    cosine_constant_lr_ratio: float = Field(
        1.0, gt=0, le=1, description="Share of all steps at which the wave has come to its end."
    )


def factor(step: int, total_steps: int, warmup_steps: int, options: Options) -> float:
    """Rises from 0 to 1 during the warm-up, then follows a cosine.

    >>> [round(factor(step, 6, 2, Options()), 3) for step in range(7)]
    [0.0, 0.5, 1.0, 0.854, 0.5, 0.146, 0.0]
    >>> [factor(step, 6, 2, Options(lr_quadratic_warmup=True)) for step in range(3)]
    [0.0, 0.25, 1.0]
    >>> floor = Options(cosine_min_lr_ratio=0.1, cosine_constant_lr_ratio=0.7)
    >>> [round(factor(step, 6, 2, floor), 3) for step in range(7)]
    [0.0, 0.5, 1.0, 0.55, 0.1, 0.1, 0.1]
    """
    if step < warmup_steps:
        return (step / warmup_steps) ** (2 if options.lr_quadratic_warmup else 1)
    end = int(total_steps * options.cosine_constant_lr_ratio)
    if end <= warmup_steps and end < total_steps:
        return options.cosine_min_lr_ratio  # the warm-up alone takes longer
    done = (min(step, end) - warmup_steps) / max(1, end - warmup_steps)
    wave = max(0.0, (1.0 + math.cos(2.0 * math.pi * options.num_cycles * done)) / 2.0)
    return wave * (1.0 - options.cosine_min_lr_ratio) + options.cosine_min_lr_ratio
