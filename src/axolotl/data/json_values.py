"""One JSON value, read strictly, and what to say about one that is not.

What Python's own reader lets pass (NaN, a key twice in one object) is refused, because either
would change a row in silence.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from axolotl.errors import DataError


class Refused(ValueError):
    """Valid for Python's reader, but not for us."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Refused(f"the key '{twice}' stands twice in one object")
    return row


def _constant(name: str) -> NoReturn:
    raise Refused(f"{name} is not JSON")


scan = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant).raw_decode
"""Read the value at a position of a text: `scan(text, position) -> (value, end)`."""


def explain(error: BaseException, text: str, start: int, place: str, *, cut: bool) -> DataError:
    """What is wrong with a value, from what the reader said about it."""
    if isinstance(error, RecursionError):
        return DataError("the row is nested too deeply", where=place, hint="take the row out")
    if isinstance(error, Refused):
        hint = "keep one of them" if "twice" in str(error) else "write null or a number"
        return DataError(str(error), where=place, hint=hint)
    if "\0" in text[start : start + 4096]:
        return DataError(
            "zero bytes instead of a row, as a crash while writing leaves them",
            where=place,
            hint="take the line out, or get the file again",
        )
    if isinstance(error, json.JSONDecodeError):
        problem = error.msg[0].lower() + error.msg[1:].removesuffix(" at").removesuffix(" starting")
        what = f"not JSON: {problem} at character {error.pos - start + 1}"
    else:
        what = f"not JSON: {error}"
    hint = "write one JSON object a line, or one array of objects"
    if text.startswith("{'", start):
        hint = "this is the text of a Python dict: write it with json.dumps"
    elif text == "{":
        hint = "an object over several lines: write each row on one line, or one array of objects"
    elif cut:
        hint = "the file seems cut: get it again, or take its last row out"
    elif isinstance(error, json.JSONDecodeError) and error.pos > start:
        hint = "mend the row or take it out: a quote, a comma or its end is missing"
    return DataError(what, where=place, hint=hint)


def not_an_object(value: object, place: str) -> DataError:
    """What to say about a row that is some other JSON value."""
    kind = {str: "a text", list: "an array", type(None): "null", bool: "true or false"}
    return DataError(
        f"the row is {kind.get(type(value), 'a number')}, not an object with fields",
        where=place,
        hint='write each row as {"field": "text", …}; plain text is read with `ds_type: text`',
    )
