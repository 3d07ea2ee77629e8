"""The learning rate's factor at every step."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from axolotl.config.schedule import ScheduleSection
from axolotl.registry import load
from axolotl.schedules import Schedule, fill_options

SCHEDULES = "axolotl.schedules"


def lr_factor(
    schedule: ScheduleSection, *, learning_rate: float, total: int, warmup: int
) -> Callable[[int], float]:
    """A function from the step (from 0) to the factor on `learning_rate`.

    Args:
        schedule: Name and options of the schedule.
        learning_rate: What is multiplied.
        total: Optimizer steps of the training.
        warmup: Steps of rising learning rate.

    Raises:
        ConfigErrors: the schedule has no such options.
    """
    plug_in = _plug_in(schedule.lr_scheduler)
    file = {**schedule.model_dump(), "learning_rate": learning_rate}
    options = fill_options(plug_in, kwargs=schedule.lr_scheduler_kwargs or {}, file=file)

    def factor(step: int) -> float:
        return plug_in.factor(step, total, warmup, options)

    return factor


def default_warmup(name: str) -> Callable[[int], int]:
    """A function from all steps of a training to those in which this schedule rises by itself."""
    return _plug_in(name).default_warmup


def _plug_in(name: str) -> Schedule:
    return cast(Schedule, load(SCHEDULES, name))
