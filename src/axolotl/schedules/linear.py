"""Down to 0 in a straight line."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from axolotl.schedules import short_warmup

default_warmup = short_warmup


class Options(BaseModel):
    """None."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def factor(step: int, total_steps: int, warmup_steps: int, options: Options) -> float:
    """Rises from 0 to 1 during the warm-up, then falls to 0 at the last step; both in straight lines.

    >>> [factor(step, 6, 2, Options()) for step in range(7)]
    [0.0, 0.5, 1.0, 0.75, 0.5, 0.25, 0.0]
    """
    if step < warmup_steps:
        return step / warmup_steps
    return max(0.0, (total_steps - step) / max(1, total_steps - warmup_steps))
