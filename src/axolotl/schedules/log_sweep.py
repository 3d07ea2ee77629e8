"""Step k of N, from 0: min · (max/min)^(k/(N - 1)), so that the last has just `log_sweep_max_lr`.

The scheduler of 2023 had min in step 0 too, and min · (max/min)^((k - 1)/(N - 1)) in step k: min
twice, and a last step that was one factor below max.

It is to find which rate is good: the loss falls where the rate is good and leaves for infinity where it
is too high; a good `learning_rate` is somewhat below the point where it falls fastest. `learning_rate`
itself and the warm-up play no part.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator


class Options(BaseModel):
    """The ends of the sweep, and the learning rate that they are put in relation to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    learning_rate: float = Field(1.0, gt=0, description="What the factors are multiplied with.")
    log_sweep_min_lr: float = Field(1e-10, gt=0, description="Learning rate of the first step.")
    log_sweep_max_lr: float = Field(
        10.0, gt=0, validate_default=True, description="Learning rate of the last step."
    )

    @field_validator("log_sweep_max_lr")
    @classmethod
    def _upwards(cls, value: float, info: ValidationInfo) -> float:
        low = info.data.get("log_sweep_min_lr", 0.0)
        if value <= low:
            raise ValueError(f"should be above log_sweep_min_lr, {low:g}")
        return value


def default_warmup(total_steps: int) -> int:
    """None."""
    return 0


def factor(step: int, total_steps: int, warmup_steps: int, options: Options) -> float:
    """Grows by the same factor from each step to the next.

    >>> options = Options(log_sweep_min_lr=0.01, log_sweep_max_lr=100)
    >>> [round(factor(step, 5, 0, options), 3) for step in range(5)]
    [0.01, 0.1, 1.0, 10.0, 100.0]
    """
    done = min(1.0, step / max(1, total_steps - 1))
    span = options.log_sweep_max_lr / options.log_sweep_min_lr
    return options.log_sweep_min_lr * span**done / options.learning_rate
