"""Names of plug-ins, held against the files that there are; nothing heavy is loaded for it."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, ValidationError

from axolotl.errors import ConfigError, UnknownName
from axolotl.formats import BoundFormat, bind
from axolotl.registry import load, nearest
from axolotl.resolve.case import Case, Found
from axolotl.resolve.later import LATER_ATTENTION, LATER_SCHEDULES, LATER_TYPES, is_later

_SCHEDULES = "axolotl.schedules"
_ATTENTION = "axolotl.attention"


def dataset_types(case: Case) -> Iterator[Found]:
    """Every `type` is a format, and has the settings that its entry gives."""
    data = case.config.data
    bound: list[BoundFormat] = []
    for number, source in enumerate(data.datasets):
        key = f"datasets.{number}.type"
        if source.type is None:
            if source.field is not None:
                yield Found(
                    "warning",
                    f"datasets.{number}.field",
                    f"datasets.{number}.field has no effect without a type",
                    "add `type: completion`",
                )
            continue
        try:
            bound.append(
                bind(
                    source.type,
                    train_on_inputs=data.train_on_inputs,
                    settings={"field": source.field},
                    key=key,
                )
            )
        except UnknownName as error:
            yield _unknown(key, source.type, LATER_TYPES, error)
        except ConfigError as error:
            yield Found("error", key, f"{key}: {error.what}", error.hint or "")
    knows = [b for b in bound if "train_on_inputs" in type(b.options).model_fields]
    if data.train_on_inputs and len(bound) == len(data.datasets) and not knows:
        yield Found(
            "warning",
            "train_on_inputs",
            "train_on_inputs has no effect: no data set has a prompt apart from its answer",
            "remove it",
        )


def schedule_name(case: Case) -> Iterator[Found]:
    """`lr_scheduler` is a schedule, and has the options in `lr_scheduler_kwargs`."""
    schedule = case.config.schedule
    try:
        plug_in = load(_SCHEDULES, schedule.lr_scheduler)
    except UnknownName as error:
        yield _unknown("lr_scheduler", schedule.lr_scheduler, LATER_SCHEDULES, error)
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


def attention_name(case: Case) -> Iterator[Found]:
    """`attn_implementation` is a backend; whether it suits the model is asked of the model later."""
    name = case.config.attention.attn_implementation
    if name is None:
        return
    try:
        load(_ATTENTION, name)
    except UnknownName as error:
        yield _unknown("attn_implementation", name, LATER_ATTENTION, error)


def _unknown(key: str, name: str, later: frozenset[str], error: UnknownName) -> Found:
    if is_later(name, later):
        what = f"{key}: '{name}' is known, but this version does not support it yet"
        return Found("error", key, what, (error.hint or "").rpartition("? ")[2])
    return Found("error", key, f"{key}: {error.what}", error.hint or "")
