"""What is known and asked for, and not carried out by this version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast, get_args

from pydantic.fields import FieldInfo

from axolotl.config import options
from axolotl.config.section import Section, facts
from axolotl.registry import available
from axolotl.resolve.case import Case, Found, Table
from axolotl.resolve.later import LATER_ATTENTION, LATER_SCHEDULES, is_later, is_later_type

_FORMS: Mapping[type, str] = {list: "a list", dict: "a mapping"}


def not_yet(case: Case) -> Iterator[Found]:
    """What this version does not carry out is said by `check`, and refused by what would run it."""
    level = "error" if case.runs else "warning"
    for key, what, hint in [*_options(case), *_names(case)]:
        asked = f"{key}: {what}" if what else key
        yield Found(level, key, f"{asked} is known, but this version does not support it yet", hint)


_Said = tuple[str, str, str]
"""Key, its value if that is not supported (nothing: no value is), what to do instead."""


def _options(case: Case) -> Iterator[_Said]:
    merging = case.purpose == "merge"
    for key, value in case.config.written.items():
        if merging and key in ("load_in_8bit", "load_in_4bit"):
            continue  # left aside in a merge
        yield from _pending(key, value, options()[key])


def _pending(key: str, value: object, info: FieldInfo) -> Iterator[_Said]:
    yield from _in_entries(key, value, info)
    known = facts(info)
    pending = known.get("pending", False)
    if isinstance(pending, bool):
        nothing: tuple[object, ...] = (
            None,
            "",
            [],
            {},
            info.get_default(call_default_factory=True),
        )
        asks = pending and value not in nothing
        said = ""
    else:
        asks = value in pending or _form(value) in pending
        said = f"'{value}'" if isinstance(value, str) else "this form"
    if asks:
        yield key, said, known.get("instead", "remove it")


def _in_entries(key: str, value: object, info: FieldInfo) -> Iterator[_Said]:
    if isinstance(value, list) and (entry := _entry(info)):
        for number, item in enumerate(cast("list[Mapping[str, object]]", value)):
            for name, part in item.items():
                yield from _pending(f"{key}.{number}.{name}", part, entry.model_fields[name])


def _form(value: object) -> str | None:
    return next((name for kind, name in _FORMS.items() if isinstance(value, kind)), None)


def _entry(info: FieldInfo) -> type[Section] | None:
    for part in get_args(info.annotation):
        if isinstance(part, type) and issubclass(part, Section):
            return part
    return None


def _names(case: Case) -> Iterator[_Said]:
    """Names of plug-ins that are known from elsewhere."""
    config = case.config
    for number, source in enumerate(config.data.datasets):
        if isinstance(source.type, str) and is_later_type(source.type):
            yield f"datasets.{number}.type", f"'{source.type}'", _there_are("formats")
    schedule, attention = config.schedule.lr_scheduler, config.attention.attn_implementation
    if is_later(schedule, LATER_SCHEDULES):
        yield "lr_scheduler", f"'{schedule}'", _there_are("schedules")
    if attention and is_later(attention, LATER_ATTENTION):
        yield "attn_implementation", f"'{attention}'", _there_are("attention")


def _there_are(folder: str) -> str:
    return f"there are: {', '.join(available(f'axolotl.{folder}'))}"


TABLE: Table = [(not_yet, "*")]
