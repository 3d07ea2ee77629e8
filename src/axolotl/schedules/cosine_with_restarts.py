"""Down along half a cosine wave, several times: after each it begins again at the top."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict, Field

from axolotl.schedules import short_warmup

default_warmup = short_warmup


class Options(BaseModel):
    """How often."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_cycles: int = Field(1, ge=1, description="How many times it goes down.")


def factor(step: int, total_steps: int, warmup_steps: int, options: Options) -> float:
    """Rises from 0 to 1 during the warm-up, then goes down `num_cycles` times; 0 after the last step.

    >>> [round(factor(step, 6, 2, Options(num_cycles=2)), 3) for step in range(7)]
    [0.0, 0.5, 1.0, 0.5, 1.0, 0.5, 0.0]
    """
    if step < warmup_steps:
        return step / warmup_steps
    done = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    if done >= 1.0:
        return 0.0
    return (1.0 + math.cos(math.pi * ((options.num_cycles * done) % 1.0))) / 2.0
