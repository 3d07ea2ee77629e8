"""The learning rate as it is; after a warm-up, if the file asks for one."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """None."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def default_warmup(total_steps: int) -> int:
    """None."""
    return 0


def warmup_factor(step: int, total_steps: int, warmup_steps: int, options: object) -> float:
    """Rises in a straight line from 0 to 1 during the warm-up, and stays there.

    >>> [warmup_factor(step, 4, 2, Options()) for step in range(5)]
    [0.0, 0.5, 1.0, 1.0, 1.0]
    """
    return step / warmup_steps if step < warmup_steps else 1.0


factor = warmup_factor
