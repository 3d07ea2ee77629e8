"""Made-up rows of a declared type, for data that is not to be had here.

A format knows which fields a row must have; which shape is meant by a field that is no plain text is
tried on the format itself. So a type that reads its rows in a usual shape needs no line here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from axolotl.errors import DataError
from axolotl.formats import BoundFormat

Row = dict[str, Any]

_COLOURS = ("red", "green", "blue", "yellow", "white", "black", "brown")
_THINGS = ("door", "boat", "kettle", "garden", "letter", "lamp", "bridge", "coat")
_TURN_KEYS = (
    ("from", "value", "human", "gpt"),
    ("role", "value", "human", "gpt"),
    ("role", "text", "prompter", "assistant"),
    ("role", "content", "user", "assistant"),
    ("role", "value", "human", "bot"),
)
"""Role's key, text's key, what the user and the model are called."""


def made_up(bound: BoundFormat | None, *, count: int, key: str = "datasets") -> list[Row]:
    """Rows that a format can read, of different lengths.

    Args:
        bound: The format; None for rows that are tokenized already.
        count: How many.
        key: The option that names the data, for a message.

    Raises:
        DataError: none of the shapes that are known suits the format.
    """
    if bound is None:
        return [_token_row(number) for number in range(count)]
    for shape in _shapes(bound):
        if _suits(bound, shape(0)):
            return [shape(number) for number in range(count)]
    raise DataError(
        f"rows of type '{bound.type}' cannot be made up, and those of the file are not to be had",
        where=key,
        hint="let it name a local file with some rows",
    )


def made_texts(column: str, *, count: int) -> list[Row]:
    """Rows of plain text, for data that is read while training goes on."""
    return [{column: f"{_question(number)} {_answer(number)}"} for number in range(count)]


def _suits(bound: BoundFormat, row: Row) -> bool:
    try:
        return any(segment.train for segment in bound.segments(row))
    except DataError:
        return False


def _shapes(bound: BoundFormat) -> Iterator[Callable[[int], Row]]:
    """Ways to fill a row, the likeliest first."""
    fields = [name for name in bound.fields if name]
    yield lambda number: {"input": "", **{name: _text(name, number) for name in fields}}
    yield lambda number: {name: _value(name, number) for name in fields}
    options = bound.options
    own = _own_keys(options)
    names = fields or [getattr(options, "field_messages", None) or "messages"]
    for keys in [*own, *_TURN_KEYS]:
        for column in names:
            yield lambda number, column=column, keys=keys: {column: _turns(number, keys)}


def _own_keys(options: Any) -> list[tuple[str, str, str, str]]:
    """How turns are written by what the data set's entry says."""
    found: list[tuple[str, str, str, str]] = []
    human, model = getattr(options, "field_human", None), getattr(options, "field_model", None)
    if human or model:
        found += [(role, text, human or u, model or m) for role, text, u, m in _TURN_KEYS]
    mappings: Mapping[str, str] = getattr(options, "message_property_mappings", None) or {}
    roles: Mapping[str, list[str]] = getattr(options, "roles", None) or {}
    if mappings or roles:
        user, answer = ((roles.get(name) or [name])[0] for name in ("user", "assistant"))
        found.append(
            (mappings.get("role", "role"), mappings.get("content", "content"), user, answer)
        )
    return found


def _turns(number: int, keys: tuple[str, str, str, str]) -> list[Row]:
    role, text, user, model = keys
    said = [(user, _question(number)), (model, _answer(number))]
    if number % 2:
        said += [(user, _question(number + 3)), (model, _answer(number + 3))]
    return [{role: who, text: what} for who, what in said]


def _value(name: str, number: int) -> Any:
    """A value for a field that is no plain text in the formats that have it."""
    match name:
        case "choices":
            return list(_COLOURS[:3])
        case "scores":
            return {"refusal": 9, "creativity": number % 10}
        case "critiques":
            return {"creativity": {"explanation": _answer(number), "improvements": "None."}}
        case "segments":
            return [
                {"label": False, "text": f"{_question(number)} "},
                {"label": True, "text": _answer(number)},
            ]
        case _:
            return _text(name, number)


def _text(name: str, number: int) -> str:
    asks = any(
        part in name.lower() for part in ("instruct", "question", "prompt", "input", "system")
    )
    return _question(number) if asks else _answer(number)


def _question(number: int) -> str:
    return f"Which colours does the {_THINGS[number % len(_THINGS)]} number {number} have?"


def _answer(number: int) -> str:
    """From three words to two dozen, so that rows differ in length."""
    words = [_COLOURS[(number * k) % len(_COLOURS)] for k in range(1, 3 + (number * 5) % 11)]
    return f"It has {', '.join(words)} and a little {_COLOURS[(number + 1) % len(_COLOURS)]}."


def _token_row(number: int) -> Row:
    ids = [10 + (number * 7 + k * 3) % 200 for k in range(8 + (number * 5) % 40)]
    return {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": [-100] * 3 + ids[3:]}
