"""What an option is, in words, for the reference pages and for `axolotl explain`."""

from __future__ import annotations

import json
from typing import Any

from pydantic.fields import FieldInfo

from axolotl.config.section import facts
from axolotl.config.wording import describe

_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


def what_it_does(info: FieldInfo) -> str:
    """Description and needs, as sentences."""
    text = first_upper(info.description or "")
    if needs := facts(info).get("needs"):
        text += f" Needs {needs}."
    return text


def value_words(info: FieldInfo) -> str:
    """Type and bounds in words, choices in backticks."""
    words = describe(info.annotation).replace("'", "`").replace("a text", "text")
    words = words.replace("a whole number or a number", "a count, or a share below 1")
    bounds = [
        f"{word} {getattr(rule, name)}"
        for rule in info.metadata
        for name, word in _BOUNDS.items()
        if hasattr(rule, name)
    ]
    return ", ".join([words, *bounds])


def default_words(info: FieldInfo) -> str:
    """The default in backticks, or how an unset value follows."""
    if info.is_required():
        return "**required**"
    if implied := facts(info).get("implied"):
        return implied
    value: Any = info.get_default(call_default_factory=True)
    if value is None or value in ({}, [], ""):
        return "—"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def first_upper(text: str) -> str:
    """A text that begins with a capital letter."""
    return text[:1].upper() + text[1:]
