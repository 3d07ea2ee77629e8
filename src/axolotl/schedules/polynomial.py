"""Down to a small learning rate along a power of the steps that are left."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from axolotl.schedules import short_warmup

default_warmup = short_warmup


class Options(BaseModel):
    """The power, the end, and the learning rate that the end is put in relation to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lr_end: float = Field(1e-7, ge=0, description="Learning rate that it ends with.")
    power: float = Field(1.0, gt=0, description="1 is a straight line; 2 falls fast at first.")
    learning_rate: float = Field(
        1.0, gt=0, validate_default=True, description="What the factors are multiplied with."
    )

    @field_validator("learning_rate")
    @classmethod
    def _downwards(cls, value: float, info: ValidationInfo) -> float:
        end = info.data.get("lr_end", 0.0)
        if value <= end:
            raise ValueError(f"should be above lr_end, {end:g}")
        return value


def factor(step: int, total_steps: int, warmup_steps: int, options: Options) -> float:
    """Rises from 0 to 1 during the warm-up, then falls to `lr_end` at the last step.

    >>> options = Options(lr_end=0.0, power=2)
    >>> [factor(step, 6, 2, options) for step in range(7)]
    [0.0, 0.5, 1.0, 0.5625, 0.25, 0.0625, 0.0]
    """
    if step < warmup_steps:
        return step / warmup_steps
    end = options.lr_end / options.learning_rate
    if step >= total_steps:
        return end
    left = (total_steps - step) / (total_steps - warmup_steps)
    return (1.0 - end) * left**options.power + end
