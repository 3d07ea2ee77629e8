"""`cosine` with a floor, which is a learning rate or a share of it."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict, Field, model_validator

from axolotl.schedules import short_warmup

default_warmup = short_warmup


class Floor(BaseModel):
    """The floor, given one way or the other, and the learning rate that it is put in relation to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_cycles: float = Field(0.5, gt=0, description="Waves of the cosine from warm-up to end.")
    min_lr: float | None = Field(None, ge=0, description="The lowest learning rate.")
    min_lr_rate: float | None = Field(
        None, ge=0, le=1, description="The same as a share of the highest."
    )
    learning_rate: float = Field(1.0, gt=0, description="What the factors are multiplied with.")

    @model_validator(mode="after")
    def _one_floor(self) -> Floor:
        if (self.min_lr is None) == (self.min_lr_rate is None):
            raise ValueError("needs one of min_lr and min_lr_rate")
        if self.min_lr is not None and self.min_lr > self.learning_rate:
            raise ValueError(f"has min_lr {self.min_lr:g}, which is above learning_rate")
        return self

    @property
    def share(self) -> float:
        """The floor as a share of the highest learning rate."""
        if self.min_lr_rate is not None:
            return self.min_lr_rate
        return (self.min_lr or 0.0) / self.learning_rate

    def wave(self, done: float) -> float:
        """The cosine when the share `done` of the way down is behind it."""
        height = (1.0 + math.cos(2.0 * math.pi * self.num_cycles * done)) / 2.0
        return max(0.0, height * (1.0 - self.share) + self.share)


class Options(Floor):
    """The floor."""


def factor(step: int, total_steps: int, warmup_steps: int, options: Options) -> float:
    """Rises from 0 to 1 during the warm-up, then follows a cosine down to the floor.

    >>> [round(factor(step, 6, 2, Options(min_lr_rate=0.2)), 3) for step in range(7)]
    [0.0, 0.5, 1.0, 0.883, 0.6, 0.317, 0.2]
    """
    if step < warmup_steps:
        return step / warmup_steps
    return options.wave((step - warmup_steps) / max(1, total_steps - warmup_steps))
