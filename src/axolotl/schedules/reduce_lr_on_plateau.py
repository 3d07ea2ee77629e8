"""Level, and lower each time that the held-out loss has not fallen for a while.

Every rate is that of torch's `ReduceLROnPlateau`, which here may have a warm-up before it.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from axolotl.schedules import FollowedLoss
from axolotl.schedules.constant import default_warmup, warmup_factor

__all__ = ["FOLLOWS", "Course", "Options", "default_warmup", "factor"]

FOLLOWS: tuple[FollowedLoss, ...] = ("eval_loss",)


class Options(BaseModel):
    """When it is lowered, and how far."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["min"] = Field("min", description="A lower loss is the better one.")
    factor: float = Field(0.1, gt=0, lt=1, description="What it is multiplied by each time.")
    patience: int = Field(10, ge=0, description="Evaluations without a better loss that it bears.")
    threshold: float = Field(1e-4, ge=0, description="A loss is better if it is lower by this.")
    threshold_mode: Literal["rel", "abs"] = Field(
        "rel", description="Whether the threshold is a share of the best loss, or a difference."
    )
    cooldown: int = Field(0, ge=0, description="Evaluations after a fall that do not count.")
    min_lr: float = Field(0.0, ge=0, description="The lowest learning rate.")
    eps: float = Field(1e-8, ge=0, description="A smaller fall is not made.")
    learning_rate: float = Field(1.0, gt=0, description="Where it begins.")


def is_better(loss: float, best: float, *, threshold: float, mode: str) -> bool:
    """Whether a loss is lower than the best one by more than the threshold."""
    return loss < (best * (1.0 - threshold) if mode == "rel" else best - threshold)


class Course:
    """The learning rate, as the losses have made it.

    Args:
        options: The schedule's `Options`.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.rate = options.learning_rate
        self._best = math.inf
        self._bad = 0
        self._resting = 0

    def told(self, loss: float) -> None:
        """Take note of an evaluation.

        >>> course = Course(Options(patience=1, factor=0.5))
        >>> for loss in (3.0, 2.0, 2.0, 2.0): course.told(loss)
        >>> course.rate
        0.5
        """
        options = self.options
        if is_better(loss, self._best, threshold=options.threshold, mode=options.threshold_mode):
            self._best, self._bad = loss, 0
        else:
            self._bad += 1
        if self._resting > 0:
            self._resting, self._bad = self._resting - 1, 0
        if self._bad > options.patience:
            lower = max(self.rate * options.factor, options.min_lr)
            if self.rate - lower > options.eps:
                self.rate = lower
            self._resting, self._bad = options.cooldown, 0

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it; numbers that are not finite are None."""
        best = self._best if math.isfinite(self._best) else None
        share = self.rate / self.options.learning_rate
        return {
            "rate": self.rate,
            "share": share,
            "best": best,
            "bad": self._bad,
            "resting": self._resting,
        }

    def take_up(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave; with another `learning_rate` as far below it as before."""
        self.rate = taken_up_rate(state, self.options.learning_rate)
        self._best = math.inf if state["best"] is None else state["best"]
        self._bad, self._resting = state["bad"], state["resting"]


def taken_up_rate(state: dict[str, Any], learning_rate: float) -> float:
    """The rate of a saved state: the same bits, if the file says the same `learning_rate` as then."""
    same = state["share"] == state["rate"] / learning_rate
    return state["rate"] if same else state["share"] * learning_rate


factor = warmup_factor
