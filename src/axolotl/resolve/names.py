"""Names of plug-ins, held against the files that there are; nothing heavy is loaded for it."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, ValidationError

from axolotl import registry
from axolotl.errors import ConfigError, UnknownName
from axolotl.formats import BoundFormat, bind
from axolotl.resolve.case import Case, Found

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
        except (UnknownName, ConfigError) as error:
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
        plug_in = registry.load(_SCHEDULES, schedule.lr_scheduler)
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
                guess = registry.nearest(name, options.model_fields)
                hint = f"did you mean '{guess}'?" if guess else f"it has: {known}"
                message = f"{key}: {schedule.lr_scheduler} has no option '{name}'"
            else:
                hint, message = "", f"{key}: {detail['msg']}, got {detail['input']!r}"
            yield Found("error", key, message, hint)


def attention_name(case: Case) -> Iterator[Found]:
    """`attn_implementation` is a backend; whether it suits the model is asked of the model later."""
    name = case.config.attention.attn_implementation
    names = registry.available(_ATTENTION)
    if name is not None and name not in names:
        guess = registry.nearest(name, names)
        hint = f"did you mean '{guess}'?" if guess else f"there are: {', '.join(names)}"
        yield Found(
            "error", "attn_implementation", f"attn_implementation: no attention '{name}'", hint
        )
