"""Which dataset types would fit a row, for messages about rows that do not fit theirs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, cast, get_args

from pydantic import ValidationError

from axolotl.registry import available, load

_TURNS: Mapping[str, Mapping[tuple[str, str], tuple[str, ...]]] = {
    "messages": {
        ("role", "content"): ("chat_template",),
        ("from", "value"): ("chat_template",),
    },
    "conversations": {
        ("from", "value"): ("sharegpt", "chat_template"),
        ("role", "content"): ("chat_template",),
        ("role", "value"): ("sharegpt.load_role", "pygmalion"),
        ("role", "text"): ("sharegpt.load_guanaco",),
        ("text", "explanation"): ("sharegpt_jokes",),
    },
}
"""Column with turns, keys of its first turn → the types that read them."""
_OF_OWN_TEMPLATES = "custom"
_SELDOM = ("orcamini",)
"""Types that are meant less often than others of the same fields."""


def fitting_types(row: Mapping[str, Any]) -> list[str]:
    """The types whose fields the row has, those that ask for the most first; one for each set of fields.

    >>> fitting_types({"instruction": "Name a colour.", "output": "Red."})[0]
    'alpaca'
    >>> fitting_types({"system_prompt": "Be brief.", "question": "Why?", "response": "So."})
    ['alpaca_w_system.load_open_orca']
    """
    known = list(_of_turns(row))
    there = available("axolotl.formats")
    turns = [kind for kind in known if kind.partition(".")[0] in there]
    names = {name for name, value in row.items() if value is not None}
    if known:
        names -= _TURNS.keys()
    fitting = [(kind, fields) for kind, fields in _fields() if fields and fields <= names]
    fitting.sort(key=lambda pair: (-len(pair[1]), pair[0] in _SELDOM, len(pair[0])))
    one_each: dict[frozenset[str], str] = {}
    for kind, fields in fitting:
        one_each.setdefault(fields, kind)
    return list(dict.fromkeys([*turns, *one_each.values()]))


def _of_turns(row: Mapping[str, Any]) -> Iterator[str]:
    """The types that read turns as the first of the row is written."""
    for name, shapes in _TURNS.items():
        turns = row.get(name)
        first = cast("list[object]", turns)[0] if isinstance(turns, list) and turns else None
        keys = cast("Mapping[str, Any]", first).keys() if isinstance(first, Mapping) else ()
        for shape, kinds in shapes.items():
            if all(key in keys for key in shape):
                yield from kinds


@cache
def _fields() -> tuple[tuple[str, frozenset[str]], ...]:
    """Every type that needs no settings, with the fields of its rows."""
    return tuple(_all_fields())


def _all_fields() -> Iterator[tuple[str, frozenset[str]]]:
    for name in available("axolotl.formats"):
        module: Any = load("axolotl.formats", name)
        if name == _OF_OWN_TEMPLATES:
            continue
        kinds: dict[str, dict[str, Any]] = {name: {}}
        if module.VARIANT:
            variants = get_args(module.Options.model_fields[module.VARIANT].annotation)
            kinds |= {f"{name}.{part}": {module.VARIANT: part} for part in variants if part}
        for kind, settings in kinds.items():
            try:
                yield kind, frozenset(module.fields(module.Options(**settings)))
            except ValidationError:
                continue  # it needs settings, so no row alone says that it fits
