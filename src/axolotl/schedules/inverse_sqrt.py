"""Down with the square root of the steps done, and never to 0: for trainings without a fixed end."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict, Field

from axolotl.schedules import short_warmup

default_warmup = short_warmup
_TIMESCALE = 10_000
"""Of a training without a warm-up."""


class Options(BaseModel):
    """How slowly it falls."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    timescale: int | None = Field(
        None,
        ge=1,
        description="Three times so many steps after the warm-up it is half as high; by default the "
        "steps of the warm-up, and 10,000 without one.",
    )


def factor(step: int, total_steps: int, warmup_steps: int, options: Options) -> float:
    """Rises from 0 to 1 during the warm-up, then falls with the inverse square root.

    >>> [round(factor(step, 10, 2, Options()), 3) for step in (0, 1, 2, 4, 8)]
    [0.0, 0.5, 1.0, 0.707, 0.5]
    """
    if step < warmup_steps:
        return step / warmup_steps
    timescale = options.timescale or warmup_steps or _TIMESCALE
    return 1.0 / math.sqrt((step + timescale - warmup_steps) / timescale)
