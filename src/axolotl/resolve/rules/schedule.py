"""The learning rate."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, ValidationError

from axolotl.errors import UnknownName
from axolotl.registry import load, nearest
from axolotl.resolve.case import Case, Found, Table
from axolotl.resolve.later import LATER_SCHEDULES, is_later

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


def ends_of_the_sweep(case: Case) -> Iterator[Found]:
    """A sweep goes upwards."""
    schedule = case.config.schedule
    low, high = schedule.log_sweep_min_lr, schedule.log_sweep_max_lr
    if low is not None and high is not None and low >= high:
        yield Found(
            "error",
            "log_sweep_min_lr",
            f"log_sweep_min_lr: {low:g} is not below log_sweep_max_lr, {high:g}",
            "the sweep begins with the smaller one",
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
    options: type[BaseModel] = plug_in.Options
    given = schedule.lr_scheduler_kwargs or {}
    try:
        options(**given)
    except ValidationError as error:
        known = ", ".join(options.model_fields) or "no options"
        for detail in error.errors(include_url=False):
            name = ".".join(map(str, detail["loc"]))
            key = f"lr_scheduler_kwargs.{name}"
            if detail["type"] == "extra_forbidden":
                guess = nearest(name, options.model_fields)
                hint = f"did you mean '{guess}'?" if guess else f"it has: {known}"
                message = f"{key}: {schedule.lr_scheduler} has no option '{name}'"
            else:
                hint, message = "", f"{key}: {detail['msg']}, got {detail['input']!r}"
            yield Found("error", key, message, hint)


TABLE: Table = [
    (one_warmup, "warmup_steps warmup_ratio"),
    (ends_of_the_sweep, "log_sweep_min_lr log_sweep_max_lr"),
    (schedule_name, "lr_scheduler lr_scheduler_kwargs"),
]
