"""Up while the loss falls, down while it does not (GreedyLR, arXiv 2512.14527).

It follows the held-out loss, and the loss of the log lines in a training without evaluations. Every
rate is that of transformers' `GreedyLR`, except for the bounds where the file names none: its 0.001 and
1 lie above the usual learning rates of language models, and here they are a tenth and ten times of
`learning_rate`.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from axolotl.schedules import FollowedLoss
from axolotl.schedules.constant import default_warmup, warmup_factor
from axolotl.schedules.reduce_lr_on_plateau import is_better, taken_up_rate

__all__ = ["FOLLOWS", "Course", "Options", "default_warmup", "factor"]

FOLLOWS: tuple[FollowedLoss, ...] = ("eval_loss", "loss")


class Options(BaseModel):
    """When it is changed, how far, and between which bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["min"] = Field("min", description="A lower loss is the better one.")
    factor: float = Field(
        0.95, gt=0, lt=1, description="What it is multiplied by on the way down, divided by up."
    )
    patience: int = Field(10, ge=0, description="Losses in a row, good or bad, that it bears.")
    threshold: float = Field(1e-6, ge=0, description="A loss is better if it is lower by this.")
    threshold_mode: Literal["rel", "abs"] = Field(
        "abs", description="Whether the threshold is a share of the best loss, or a difference."
    )
    cooldown: int = Field(0, ge=0, description="Losses after a fall that do not count.")
    warmup: int = Field(0, ge=0, description="Losses after a rise that do not count.")
    min_lr: float | None = Field(None, ge=0, description="Lower bound; by default a tenth.")
    max_lr: float | None = Field(None, gt=0, description="Upper bound; by default ten times.")
    eps: float = Field(1e-8, ge=0, description="A smaller change is not made.")
    smooth: bool = Field(False, description="Follow the mean of the last losses.")
    window_size: int = Field(50, ge=1, description="How many losses that mean is of.")
    reset_start: int = Field(
        500, ge=1, description="Falls wanted at the lower bound, after which it begins anew."
    )
    learning_rate: float = Field(1.0, gt=0, description="Where it begins.")

    @property
    def lowest(self) -> float:
        """The lower bound."""
        return self.learning_rate / 10 if self.min_lr is None else self.min_lr

    @property
    def highest(self) -> float:
        """The upper bound."""
        return self.learning_rate * 10 if self.max_lr is None else self.max_lr


class Course:
    """The learning rate, as the losses have made it.

    Args:
        options: The schedule's `Options`.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self._begin()

    def _begin(self) -> None:
        self.rate = self.options.learning_rate
        self._best = math.inf
        self._good = self._bad = self._resting = 0
        self._until_reset = self.options.reset_start
        self._window: list[float] = []
        self._sum = 0.0

    def told(self, loss: float) -> None:
        """Take note of a loss.

        >>> course = Course(Options(patience=1, factor=0.5))
        >>> for loss in (3.0, 2.0): course.told(loss)
        >>> course.rate
        2.0
        """
        options = self.options
        loss = self._smoothed(loss) if options.smooth else loss
        if self._resting > 0:
            self._resting, self._good, self._bad = self._resting - 1, 0, 0
            return
        if is_better(loss, self._best, threshold=options.threshold, mode=options.threshold_mode):
            self._best, self._good, self._bad = loss, self._good + 1, 0
        else:
            self._good, self._bad = 0, self._bad + 1
        if self._good > options.patience:
            self._raise()
        elif self._bad > options.patience:
            self._lower()

    def _smoothed(self, loss: float) -> float:
        self._window.append(loss)
        self._sum += loss
        if len(self._window) > self.options.window_size:
            self._sum -= self._window.pop(0)
        return self._sum / len(self._window)

    def _raise(self) -> None:
        higher = min(self.rate / self.options.factor, self.options.highest)
        if higher - self.rate > self.options.eps:
            self.rate = higher
        self._until_reset = self.options.reset_start
        self._resting, self._good = self.options.warmup, 0

    def _lower(self) -> None:
        lower = max(self.rate * self.options.factor, self.options.lowest)
        if self.rate - lower > self.options.eps:
            self.rate = lower
        resting = self.options.cooldown
        if self.rate <= self.options.lowest:
            self._until_reset -= 1
            if self._until_reset <= 0:
                self._begin()
        self._resting, self._bad = resting, 0

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it; numbers that are not finite are None."""
        return {
            "rate": self.rate,
            "share": self.rate / self.options.learning_rate,
            "best": self._best if math.isfinite(self._best) else None,
            "good": self._good,
            "bad": self._bad,
            "resting": self._resting,
            "until_reset": self._until_reset,
            "window": list(self._window),
            "sum": self._sum,
        }

    def take_up(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave; with another `learning_rate` as far from it as before."""
        self.rate = taken_up_rate(state, self.options.learning_rate)
        self._best = math.inf if state["best"] is None else state["best"]
        self._good, self._bad = state["good"], state["bad"]
        self._resting, self._until_reset = state["resting"], state["until_reset"]
        self._window, self._sum = list(state["window"]), state["sum"]


factor = warmup_factor
