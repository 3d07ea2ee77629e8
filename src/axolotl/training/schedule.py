"""The learning rate's factor at every step."""

from __future__ import annotations

from collections.abc import Callable

from axolotl.config.schedule import ScheduleSection
from axolotl.registry import load

SCHEDULES = "axolotl.schedules"


def lr_factor(schedule: ScheduleSection, *, total: int, warmup: int) -> Callable[[int], float]:
    """A function from the step (from 0) to the factor on `learning_rate`.

    Args:
        schedule: Name and options of the schedule.
        total: Optimizer steps of the training.
        warmup: Steps of rising learning rate.
    """
    plug_in = load(SCHEDULES, schedule.lr_scheduler)
    options = plug_in.Options(**(schedule.lr_scheduler_kwargs or {}))

    def factor(step: int) -> float:
        return plug_in.factor(step, total, warmup, options)

    return factor


def warms_up(name: str) -> bool:
    """Whether a schedule begins with a warm-up where the file says nothing of one."""
    return bool(load(SCHEDULES, name).WARMS_UP)
