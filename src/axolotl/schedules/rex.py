"""Down slowly at first, then faster and faster (REX: "Revisiting Budgeted Training", arXiv 2107.04197)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from axolotl.schedules import short_warmup

default_warmup = short_warmup


class Options(BaseModel):
    """Where it ends."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cosine_min_lr_ratio: float = Field(0.0, ge=0, le=1, description="The floor.")


def factor(step: int, total_steps: int, warmup_steps: int, options: Options) -> float:
    """Rises from 0 to 1 during the warm-up; then (1 - p) / (1 - p / 2), where p is what is done.

    >>> [round(factor(step, 6, 2, Options()), 3) for step in range(7)]
    [0.0, 0.5, 1.0, 0.857, 0.667, 0.4, 0.0]
    """
    if step < warmup_steps:
        return step / warmup_steps
    done = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    floor = options.cosine_min_lr_ratio
    return (1.0 - done) / (1.0 - done / 2.0) * (1.0 - floor) + floor
