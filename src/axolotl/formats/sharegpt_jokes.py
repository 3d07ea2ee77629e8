"""Jokes and why they are funny, asked for in a conversation of four turns.

The three fields stand in the row itself or in the first object of its `conversations`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

from axolotl.errors import DataError
from axolotl.formats._conversation import (
    Conversing,
    conversation_prompt,
    conversation_segments,
    letters_for_tokens,
)
from axolotl.formats._fields import optional_text, required_text
from axolotl.records import Segment
from axolotl.templates.conversation import Turn

SUFFIX = None
VARIANT = None
LONG_ROWS: Literal["drop", "split"] = "drop"

_ASK = "Tell me a joke."
_ASK_WHY = "Why is that joke funny?"


class Options(Conversing):
    """What a dataset entry may say about this format."""


def fields(options: Options) -> tuple[str, ...]:
    """Fields that every row must have, in itself or in the first object of `conversations`."""
    return ("text", "explanation")


def segments(row: Mapping[str, Any], options: Options) -> list[Segment]:
    """The conversation about one joke.

    Raises:
        DataError: a field is missing, null or not text.

    >>> row = {"title": "Pun.", "text": "A pun.", "explanation": "Because."}
    >>> [part.text for part in segments(row, Options()) if part.train]
    [' Pun. A pun.</s>', ' Because.</s>']
    """
    nested = _nested(row)
    try:
        joke = _joke(row if nested is None else nested)
    except DataError as error:
        if nested is None:
            raise
        raise DataError(f"conversations[0]: {error.what}", hint=error.hint) from error
    return conversation_segments(joke, options)


def remarks(row: Mapping[str, Any], options: Options) -> list[str]:
    """What is odd about the text that a row becomes."""
    return letters_for_tokens(options)


def prompt(text: str, options: Options) -> list[Segment]:
    """What stands before the answer to a plain question."""
    return conversation_prompt([Turn("user", text)], options)


def _nested(row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    turns = row.get("conversations")
    if "text" in row or not isinstance(turns, list) or not turns:
        return None
    first = cast("list[object]", turns)[0]
    return cast("Mapping[str, Any]", first) if isinstance(first, Mapping) else None


def _joke(row: Mapping[str, Any]) -> list[Turn]:
    title = optional_text(row, "title")
    text, why = required_text(row, "text"), required_text(row, "explanation")
    return [
        Turn("user", _ASK),
        Turn("model", f"{title} {text}" if title else text),
        Turn("user", _ASK_WHY),
        Turn("model", why),
    ]
