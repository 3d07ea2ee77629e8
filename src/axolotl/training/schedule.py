"""The learning rate's factor at every step."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from transformers import TrainerCallback

from axolotl.config.schedule import ScheduleSection
from axolotl.core.atomic import write_json
from axolotl.core.console import note
from axolotl.registry import load
from axolotl.schedules import (
    Course,
    FollowedLoss,
    Schedule,
    as_following,
    fill_options,
    followed_loss,
)

SCHEDULES = "axolotl.schedules"
COURSE_FILE = "schedule.json"


class FollowLoss(TrainerCallback):
    """Tells a schedule the loss that it follows, and keeps its state in every checkpoint.

    Args:
        course: The learning rate.
        follows: The loss that it is told.
        learning_rate: What the factors are multiplied with.
    """

    def __init__(self, course: Course, follows: FollowedLoss, *, learning_rate: float) -> None:
        self.course = course
        self.follows = follows
        self.learning_rate = learning_rate
        self.apply: Callable[[], None] = lambda: None
        """Puts the new rate into the optimizer, for the next step."""

    def over(self, warmup: Callable[[int], float]) -> Callable[[int], float]:
        """The factor at a step: that of the warm-up, times what the losses have made of the rate."""
        return lambda step: warmup(step) * (self.course.rate / self.learning_rate)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """A log line has the loss of the steps since the last one."""
        if self.follows == "loss" and logs and "loss" in logs:
            self._tell(logs["loss"])

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any
    ) -> None:
        """An evaluation has the held-out loss."""
        if self.follows == "eval_loss" and metrics and "eval_loss" in metrics:
            self._tell(metrics["eval_loss"])

    def _tell(self, loss: float) -> None:
        before = self.course.rate
        self.course.told(float(loss))
        if self.course.rate != before:
            note(f"learning rate: {before:.3g} becomes {self.course.rate:.3g}")
            self.apply()

    def save(self, checkpoint: Path, step: int) -> None:
        """Put the state into a checkpoint."""
        write_json(checkpoint / COURSE_FILE, self.course.state())

    def load(self, checkpoint: Path) -> None:
        """Take it up; a checkpoint of a run with another schedule has none."""
        file = checkpoint / COURSE_FILE
        if file.is_file():
            self.course.take_up(json.loads(file.read_text("utf-8")))
        else:
            note(f"{checkpoint.name} is of another schedule: this one begins with `learning_rate`")


@dataclass(frozen=True)
class LearningRate:
    """The course of a learning rate.

    Args:
        factor: From the step (from 0) to the factor on `learning_rate`.
        follow: What listens to the losses; None for a schedule that follows the steps alone.
    """

    factor: Callable[[int], float]
    follow: FollowLoss | None


def learning_rate(
    schedule: ScheduleSection,
    *,
    learning_rate: float,
    total: int,
    warmup: int,
    evaluates: bool = False,
) -> LearningRate:
    """The course of a learning rate.

    Args:
        schedule: Name and options of the schedule.
        learning_rate: What is multiplied.
        total: Optimizer steps of the training.
        warmup: Steps of rising learning rate.
        evaluates: Whether there are evaluations on the way.

    Raises:
        ConfigErrors: the schedule has no such options.
        ConfigError: it follows the held-out loss, and there are no evaluations.
    """
    plug_in = _plug_in(schedule.lr_scheduler)
    file = {**schedule.model_dump(), "learning_rate": learning_rate}
    options = fill_options(plug_in, kwargs=schedule.lr_scheduler_kwargs or {}, file=file)

    def factor(step: int) -> float:
        return plug_in.factor(step, total, warmup, options)

    following = as_following(plug_in)
    follows = followed_loss(plug_in, evaluates=evaluates)
    if following is None or follows is None:
        return LearningRate(factor, None)
    follow = FollowLoss(following.Course(options), follows, learning_rate=learning_rate)
    return LearningRate(follow.over(factor), follow)


def default_warmup(name: str) -> Callable[[int], int]:
    """A function from all steps of a training to those in which this schedule rises by itself."""
    return _plug_in(name).default_warmup


def _plug_in(name: str) -> Schedule:
    return cast(Schedule, load(SCHEDULES, name))
