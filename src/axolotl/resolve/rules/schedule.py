"""The learning rate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from axolotl.errors import ConfigErrors, UnknownName
from axolotl.registry import load
from axolotl.resolve.case import Case, Found, Table
from axolotl.resolve.later import LATER_SCHEDULES, is_later
from axolotl.schedules import Schedule, fill_options

_SCHEDULES = "axolotl.schedules"


def one_warmup(case: Case) -> Iterator[Found]:
    """The warm-up is given once."""
    schedule = case.config.schedule
    if schedule.warmup_steps is not None and schedule.warmup_ratio is not None:
        yield Found(
            "error",
            "warmup_ratio",
            f"warmup_ratio: {schedule.warmup_ratio} and `warmup_steps: {schedule.warmup_steps}` "
            "exclude each other",
            "remove one of the two",
        )


def schedule_name(case: Case) -> Iterator[Found]:
    """`lr_scheduler` is a schedule, and has the options in `lr_scheduler_kwargs`."""
    schedule = case.config.schedule
    if is_later(schedule.lr_scheduler, LATER_SCHEDULES):
        return
    try:
        plug_in = load(_SCHEDULES, schedule.lr_scheduler)
    except UnknownName as error:
        yield Found("error", "lr_scheduler", f"lr_scheduler: {error.what}", error.hint or "")
        return
    config = case.config
    file = {**schedule.model_dump(), "learning_rate": config.optimizer.learning_rate}
    try:
        fill_options(cast(Schedule, plug_in), kwargs=schedule.lr_scheduler_kwargs or {}, file=file)
    except ConfigErrors as errors:
        for error in errors.problems:
            yield Found("error", error.key, error.what, error.hint or "")


TABLE: Table = [
    (one_warmup, "warmup_steps warmup_ratio"),
    (schedule_name, "lr_scheduler lr_scheduler_kwargs log_sweep_min_lr log_sweep_max_lr"),
]
