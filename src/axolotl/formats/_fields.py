"""Taking text out of a row, with messages that say what is wrong with it.

The messages carry no place: whoever reads the rows knows it and adds it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from axolotl.errors import DataError
from axolotl.registry import nearest

_KINDS: dict[type[object], str] = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
    str: "text",
    type(None): "null",
}
_AS = {
    "text": "text in quotes",
    "a list of texts": 'a list of texts, such as ["red", "blue"]',
    "an object": 'an object, such as {"clarity": 7}',
}


def required_text(row: Mapping[str, Any], name: str) -> str:
    """The text of a field that must be there; it may be empty.

    Raises:
        DataError: the field is missing, null or not text.
    """
    value = row.get(name)
    if isinstance(value, str):
        return value
    if value is not None:
        raise _is_not("text", name, value)
    raise missing_field(row, name, "a text")


def optional_text(row: Mapping[str, Any], name: str) -> str:
    """The text of a field that may be missing or null, which both count as empty.

    Raises:
        DataError: the field holds something that is not text.
    """
    value = row.get(name)
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    raise _is_not("text", name, value)


def nullable_text(row: Mapping[str, Any], name: str) -> str:
    """The text of a field that must be there and may be null, which counts as empty.

    Raises:
        DataError: the field is missing or not text.
    """
    return "" if name in row and row[name] is None else required_text(row, name)


def first_text(row: Mapping[str, Any], *names: str) -> str:
    """The text of the first of several fields that is there and not null.

    Raises:
        DataError: the row has none of them, or the first that it has is not text.
    """
    for name in names:
        if row.get(name) is not None:
            return required_text(row, name)
    null = next((name for name in names if name in row), None)
    if null is not None:
        return required_text(row, null)
    others = " and no ".join(f"'{name}'" for name in names)
    meant = next((name for name in names if nearest(name, row)), names[0])
    raise DataError(f"no field {others} ({_has(row)})", hint=missing_field(row, meant, "").hint)


def required_texts(row: Mapping[str, Any], name: str) -> list[str]:
    """The texts of a field that must be a list of them.

    Raises:
        DataError: the field is missing, null, no list, empty, or holds something that is not text.
    """
    value = row.get(name)
    if value is None:
        raise missing_field(row, name, "a list of texts")
    if not isinstance(value, list):
        raise _is_not("a list of texts", name, value)
    items = cast("list[object]", value)
    for number, item in enumerate(items):
        if not isinstance(item, str):
            raise _is_not("text", f"{name}[{number}]", item)
    if not items:
        raise DataError(f"'{name}' is an empty list", hint="give it texts, or take the row out")
    return cast("list[str]", value)


def required_mapping(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The object of a field that must be one.

    Raises:
        DataError: the field is missing, null or no object.
    """
    value = row.get(name)
    if value is None:
        raise missing_field(row, name, "an object")
    if not isinstance(value, Mapping):
        raise _is_not("an object", name, value)
    return cast("Mapping[str, Any]", value)


def missing_field(row: Mapping[str, Any], name: str, wanted: str) -> DataError:
    """What there is to say of a field that is missing or null, where `wanted` should stand."""
    if name in row:
        return DataError(
            f"'{name}' is null", hint=f"give it {wanted}, or take the row out ({_has(row)})"
        )
    guess = nearest(name, row)
    return DataError(
        f"no field '{name}' ({_has(row)})",
        hint=f"rename '{guess}' to '{name}'" if guess else _elsewhere(row, name),
    )


def _has(row: Mapping[str, Any]) -> str:
    names = [str(name) for name in row]
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"the row has: {shown}" if names else "the row has no fields"


def _elsewhere(row: Mapping[str, Any], name: str) -> str:
    for key, value in row.items():
        if isinstance(value, list) and value and isinstance(value[0], dict) and name in value[0]:
            return f"the rows may stand under '{key}': write them as one array, or one a line"
    return (
        f"add '{name}' to the row, choose the `type` that fits these fields, or name them in a "
        "mapping in the place of `type`"
    )


def kind_of(value: object) -> str:
    """What a value is, in words, and which one where it is short.

    >>> kind_of(5), kind_of([5])
    ('a number (5)', 'a list')
    """
    cls: type[object] = type(value)
    kind = _KINDS.get(cls, cls.__name__)
    shown = json.dumps(value) if isinstance(value, (bool, int, float, str)) else ""
    if len(shown) > 40:
        shown = shown[:40] + "…"
    return f"{kind} ({shown})" if shown else kind


def _is_not(wanted: str, name: str, value: object) -> DataError:
    return DataError(
        f"'{name}' is {kind_of(value)}, not {wanted}",
        hint=f"write '{name}' as {_AS[wanted]}",
    )
