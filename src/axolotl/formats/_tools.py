"""Tools and the calls of them: as objects, wherever a row has them as JSON text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from axolotl.errors import DataError
from axolotl.formats._fields import kind_of


def calls_of(value: object, number: int) -> list[Any]:
    """The calls of a turn, as they are written.

    Raises:
        DataError: they are no list.
    """
    if value is None:
        return []
    value = _parsed(value, f"'tool_calls' of turn {number}")
    if not isinstance(value, list):
        raise DataError(
            f"'tool_calls' of turn {number} is {kind_of(value)}, not a list",
            hint='write it as [{"type": "function", "function": {"name": "…", "arguments": {}}}]',
        )
    return cast("list[Any]", value)


def older_call_of(value: object, number: int, *, others: bool) -> dict[str, Any]:
    """The one call of a turn in OpenAI's older manner, `function_call`, in that of today.

    Args:
        value: What stands there: an object with `name` and `arguments`, or JSON text of one.
        number: Number of the turn, for messages.
        others: Whether the turn has calls in the manner of today, too.

    Raises:
        DataError: it is no such object, or there are others.
    """
    value = _parsed(value, f"'function_call' of turn {number}")
    given = cast("Mapping[str, Any]", value if isinstance(value, Mapping) else {})
    if not isinstance(given.get("name"), str):
        raise DataError(
            f"'function_call' of turn {number} is {kind_of(cast('object', value))}, not a call with a name",
            hint='write it as {"name": "…", "arguments": {}}, or use tool_calls',
        )
    if others:
        raise DataError(
            f"turn {number} has calls of tools, and 'function_call' as well",
            hint="keep one of the two",
        )
    return {"type": "function", "function": dict(given)}


def call_of(call: object, number: int) -> dict[str, Any]:
    """A call, with its arguments as an object, wherever they are written.

    Raises:
        DataError: it is no object, or its arguments are text and no JSON.
    """
    if not isinstance(call, Mapping):
        raise DataError(
            f"a tool call of turn {number} is {kind_of(call)}, not an object",
            hint='write it as {"type": "function", "function": {"name": "…", "arguments": {}}}',
        )
    given: dict[str, Any] = plain(cast("Mapping[str, Any]", call))
    function = given.get("function")
    if isinstance(function, Mapping):
        given["function"] = _with_arguments(dict(cast("Mapping[str, Any]", function)), number)
        return given
    return _with_arguments(given, number)


def _with_arguments(function: dict[str, Any], number: int) -> dict[str, Any]:
    for key in ("arguments", "parameters"):
        value = function.get(key)
        if isinstance(value, str):
            place = f"'{key}' of a tool call of turn {number}"
            function[key] = _parsed(value, place) if value.strip() else {}
    return function


def tools_of(row: Mapping[str, Any], name: str) -> list[Any] | None:
    """The tools of a row; None for none.

    Raises:
        DataError: they are no list of objects, nor JSON text of one.
    """
    value = row.get(name)
    if value is None or value == "":
        return None
    value = _parsed(value, f"'{name}'")
    if not isinstance(value, list):
        raise DataError(
            f"'{name}' is {kind_of(value)}, not a list of tools",
            hint="write it as a list, or as JSON text of one",
        )
    return [_tool(tool, name) for tool in cast("list[object]", value)] or None


def _tool(tool: object, name: str) -> dict[str, Any]:
    tool = _parsed(tool, f"a tool of '{name}'")
    if not isinstance(tool, Mapping):
        raise DataError(
            f"'{name}' has {kind_of(tool)} in it, which is no tool",
            hint='write each as {"type": "function", "function": {"name": "…", "parameters": {}}}',
        )
    given: dict[str, Any] = plain(cast("Mapping[str, Any]", tool))
    held = given.get("function")
    inner: dict[str, Any] = cast("dict[str, Any]", held) if isinstance(held, dict) else given
    if isinstance(inner.get("parameters"), str):
        inner["parameters"] = _parsed(inner["parameters"], f"'parameters' of a tool of '{name}'")
    return given


def _parsed(value: object, place: str) -> object:
    """What JSON text says; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{place} is text and no JSON: {value[:40]}{'…' if len(value) > 40 else ''}",
            hint="write it as an object or a list, or as JSON text",
        ) from error


def plain(value: object) -> Any:
    """A value as templates may see it: nothing but text, numbers, lists and objects.

    Raises:
        DataError: it is nested too deeply.
    """
    try:
        return _plain(value)
    except RecursionError as error:
        raise DataError(
            "a list or object is nested too deeply", hint="take the row out, or what is nested"
        ) from error


def _plain(value: object) -> Any:
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return {str(key): _plain(inner) for key, inner in items}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in cast("Sequence[Any]", value)]
    return str(value)
