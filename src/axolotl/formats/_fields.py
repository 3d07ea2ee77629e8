"""Taking text out of a row, with messages that say what is wrong with it.

The messages carry no place: whoever reads the rows knows it and adds it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from axolotl.errors import DataError
from axolotl.registry import nearest

_KINDS: dict[type[object], str] = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
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
        raise _not_text(name, value)
    if name in row:
        raise DataError(
            f"'{name}' is null", hint=f"give it a text, or take the row out ({_has(row)})"
        )
    guess = nearest(name, row)
    raise DataError(
        f"no field '{name}' ({_has(row)})",
        hint=f"rename '{guess}' to '{name}'" if guess else _elsewhere(row, name),
    )


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
    raise _not_text(name, value)


def _has(row: Mapping[str, Any]) -> str:
    names = [str(name) for name in row]
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"the row has: {shown}" if names else "the row has no fields"


def _elsewhere(row: Mapping[str, Any], name: str) -> str:
    for key, value in row.items():
        if isinstance(value, list) and value and isinstance(value[0], dict) and name in value[0]:
            return f"the rows may stand under '{key}': write them as one array, or one a line"
    return f"add '{name}' to the row, or choose the `type` that fits these fields"


def _not_text(name: str, value: object) -> DataError:
    cls: type[object] = type(value)
    kind = _KINDS.get(cls, cls.__name__)
    shown = json.dumps(value) if isinstance(value, (bool, int, float)) else ""
    if len(shown) > 40:
        shown = shown[:40] + "…"
    return DataError(
        f"'{name}' is {kind}{f' ({shown})' if shown else ''}, not text",
        hint=f"write '{name}' as text in quotes",
    )
