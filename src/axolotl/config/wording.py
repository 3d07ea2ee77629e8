"""How values and types are called in messages."""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from axolotl.config.tree import Branch, Leaf, Node, Row, read_float
from axolotl.errors import ConfigError
from axolotl.registry import nearest

_LONGEST_SHOWN = 60
_BOUNDS = {
    "greater_than_equal": ("must be at least {ge}", "ge"),
    "greater_than": ("must be more than {gt}", "gt"),
    "less_than_equal": ("must be at most {le}", "le"),
    "less_than": ("must be less than {lt}", "lt"),
    "string_too_short": ("must not be empty", ""),
    "too_short": ("must not be empty", ""),
}


def show(node: Node) -> str:
    """The value of a node for a message, shortened."""
    if isinstance(node, Branch):
        return "a mapping"
    if isinstance(node, Row):
        return "a list"
    if node.value is None or (node.plain and node.value in ("", "~")):
        return "nothing"
    text = f"'{node.value}'" if isinstance(node.value, str) else repr(node.value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…'"


def describe(wanted: Any) -> str:
    """What a type wants, in words.

    >>> describe(bool | Literal["auto"] | None), describe(list[str])
    ("true, false or 'auto'", 'a list of texts')
    """
    words = _words(wanted)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _words(wanted: Any) -> list[str]:
    origin, args = get_origin(wanted), get_args(wanted)
    if origin is Annotated:
        return _words(args[0])
    if origin in (Union, types.UnionType):
        return [word for part in args for word in _words(part)]
    if origin is Literal:
        return [f"'{choice}'" for choice in args]
    if origin is list:
        one = {str: "texts"}.get(args[0], "mappings")
        return [f"a list of {one}"]
    if origin is dict:
        return ["a mapping"]
    names: Mapping[Any, list[str]] = {
        bool: ["true", "false"],
        int: ["a whole number"],
        float: ["a number"],
        str: ["a text"],
        type(None): [],
    }
    return names.get(wanted, ["a mapping"])


def value_problem(node: Node, wanted: Any, path: str) -> ConfigError:
    """Say that a value is not of its option's type.

    Args:
        node: The value.
        wanted: The type.
        path: Its dotted path.
    """
    return ConfigError(
        path,
        f"{path}: expected {describe(wanted)}, got {show(node)}",
        where=node.where,
        hint=_value_hint(node, wanted),
    )


def _first_key(wanted: Any) -> str | None:
    """The first key of an entry, where a value stands in the place of entries."""
    for part in (wanted, *get_args(wanted)):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return next(iter(part.model_fields))
    return None


def _value_hint(node: Node, wanted: Any) -> str | None:
    words = _words(wanted)
    choices = [word.strip("'") for word in words if word[0] == "'"]
    if isinstance(node, Branch) and "a list of mappings" in words:
        return "begin the first line of each entry with `- `"
    if not isinstance(node, Leaf):
        return None
    if first := _first_key(wanted):
        return f"write `- {first}: {node.value}`"
    if node.value is False and "no" in choices:
        return "write 'no' as a text"
    text = str(node.value)
    if "a list of texts" in words and text:
        return f"write [{text}]"
    if choices and (guess := nearest(text[:_LONGEST_SHOWN], choices)):
        return f"did you mean '{guess}'?"
    if any(word.endswith("number") for word in words):
        return _number_hint(text, shares="a number" in words)
    return None


def _number_hint(text: str, *, shares: bool) -> str | None:
    """What to write instead of a text that was meant as a number."""
    if read_float(text) is not None:
        return None
    if text.replace(",", ".", 1).replace(".", "", 1).isdigit():
        return "write the decimal point as a point, and no thousands separators"
    if text.lower().strip("+-.") in ("nan", "inf", "infinity"):
        return "write a finite number, or leave it out"
    if not (match := re.match(r"([+-]?\d{1,15}(?:\.\d{1,15})?)\s*(.*)", text, re.DOTALL)):
        return None
    number, unit = match[1], match[2]
    if unit == "%" and shares:
        return f"write the number itself: {float(number) / 100:g}"
    if unit in ("k", "K", "M"):  # a small m may be minutes
        factor = 10**6 if unit == "M" else 1000
        return f"write the number itself, such as {float(number) * factor:.0f}"
    if unit.isalpha() or unit == "%":
        return f"write the number alone, without '{unit}'"
    return "write the number itself, as in 1000, 0.001 or 1e-3"


def bound_problem(detail: Mapping[str, Any], path: str, where: str) -> ConfigError:
    """Say that a value is out of its bounds.

    Args:
        detail: One error as pydantic lists it.
        path: Dotted path of the value.
        where: Where it was written.
    """
    rule, limit = _BOUNDS.get(detail["type"], ("", ""))
    if detail["type"] == "value_error":
        said = str(detail["ctx"]["error"])
    elif rule:
        got = f", got {detail['input']!r}" if limit else ""
        said = rule.format(**detail.get("ctx", {})) + got
    else:
        said = f"{detail['msg'][:1].lower()}{detail['msg'][1:]}"
    return ConfigError(path, f"{path}: {said}", where=where)


def missing_problem(info: FieldInfo, path: str, where: str) -> ConfigError:
    """Say that a required option is not there."""
    what = re.split(r"[:;](?= |$)", info.description or "")[0].rstrip(".")
    key = path.rpartition(".")[2]
    return ConfigError(path, f"{path} is missing: {what}", where=where, hint=f"add `{key}: …`")
