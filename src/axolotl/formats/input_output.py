"""Texts with labels of their own: a row has `segments`, each with its `text` and its `label`.

A segment is trained where its label is true. The texts are put together as they are and tokenized as
one, as the model will see them; nothing is added: begin tokens, end tokens and spaces are part of the
text. A token that reaches over a border belongs to the segment in which it begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict

from axolotl.errors import DataError
from axolotl.formats._fields import kind_of, missing_field
from axolotl.records import Segment

SUFFIX = None
VARIANT = None
LONG_ROWS: Literal["drop", "split"] = "drop"

FIELD = "segments"
_EXAMPLE = '{"label": true, "text": "…"}'


class Options(BaseModel):
    """What a dataset entry may say about this format."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def fields(options: Options) -> tuple[str, ...]:
    """Fields that every row must have."""
    return (FIELD,)


def segments(row: Mapping[str, Any], options: Options) -> list[Segment]:
    """The segments of one row, as it gives them.

    Raises:
        DataError: it has none, or one without a text or a label.

    >>> row = {"segments": [{"label": False, "text": "Q: 1+1? "}, {"label": True, "text": "2</s>"}]}
    >>> [(part.text, part.train) for part in segments(row, Options())]
    [('Q: 1+1? ', False), ('2</s>', True)]
    """
    value = row.get(FIELD)
    if value is None:
        raise missing_field(row, FIELD, "a list of segments")
    if not isinstance(value, list):
        raise DataError(
            f"'{FIELD}' is {kind_of(value)}, not a list of segments",
            hint=f"write it as [{_EXAMPLE}, …]",
        )
    if not value:
        raise DataError(f"'{FIELD}' is an empty list", hint="take the row out, or give it segments")
    return [
        _segment(part, number) for number, part in enumerate(cast("list[object]", value), start=1)
    ]


def prompt(text: str, options: Options) -> list[Segment]:
    """A plain question as it is: the user writes what the texts of the rows have around it."""
    return [Segment(text, False)]


def _segment(part: object, number: int) -> Segment:
    if not isinstance(part, Mapping):
        raise DataError(
            f"segment {number} is {kind_of(part)}, not an object", hint=f"write it as {_EXAMPLE}"
        )
    given = cast("Mapping[str, Any]", part)
    text, label = given.get("text"), given.get("label")
    for key, value, kind in (("text", text, str), ("label", label, bool)):
        if not isinstance(value, kind):
            wanted = "text" if kind is str else "true or false"
            problem = f"'{key}' of segment {number} is {kind_of(value)}, not {wanted}"
            if key not in given:
                has = ", ".join(map(str, given)) or "nothing"
                problem = f"segment {number} has no '{key}' (it has: {has})"
            raise DataError(problem, hint=f"write it as {_EXAMPLE}")
    return Segment(cast("str", text), cast("bool", label), joined=number > 1)
