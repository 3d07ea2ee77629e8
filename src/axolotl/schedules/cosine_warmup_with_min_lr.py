"""`cosine_with_min_lr` that does not begin at 0, so that its first step trains, and is at the floor in its last."""

from __future__ import annotations

from pydantic import Field

from axolotl.schedules import short_warmup
from axolotl.schedules.cosine_with_min_lr import Floor

default_warmup = short_warmup


class Options(Floor):
    """The floor, and where it begins."""

    warmup_lr_rate: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Where the warm-up begins, as a share of the highest learning rate; by default "
        "one step above 0.",
    )


def factor(step: int, total_steps: int, warmup_steps: int, options: Options) -> float:
    """Rises during the warm-up, and reaches 1 in its last step; then follows a cosine to the floor.

    >>> [round(factor(step, 6, 2, Options(min_lr_rate=0.2)), 3) for step in range(6)]
    [0.5, 1.0, 0.883, 0.6, 0.317, 0.2]
    """
    if step < warmup_steps:
        if options.warmup_lr_rate is None:
            return (step + 1) / warmup_steps
        rise = 1.0 - options.warmup_lr_rate
        return options.warmup_lr_rate + rise * step / max(1, warmup_steps - 1)
    return options.wave((step - warmup_steps + 1) / max(1, total_steps - warmup_steps))
