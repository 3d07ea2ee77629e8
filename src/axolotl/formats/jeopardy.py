"""A clue and its category: the Alpaca prompt, answered by "what is …"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from axolotl.formats._fields import nullable_text, required_text
from axolotl.formats._instruction import AlpacaOptions, exchange, question
from axolotl.records import Segment

SUFFIX = "style"
VARIANT = None
LONG_ROWS: Literal["drop", "split"] = "drop"


class Options(AlpacaOptions):
    """What a dataset entry may say about this format."""


def fields(options: Options) -> tuple[str, ...]:
    """Fields that every row must have."""
    return ("question", "category", "answer")


def segments(row: Mapping[str, Any], options: Options) -> list[Segment]:
    """The prompt and the answer of one row.

    Raises:
        DataError: a field is missing or not text; only the category may be null.
    """
    prompt = options.prompt(required_text(row, "question"), nullable_text(row, "category"))
    return exchange(prompt, f"what is {required_text(row, 'answer')}", options)


def prompt(text: str, options: Options) -> list[Segment]:
    """What stands before the answer to a plain question."""
    return question(options.prompt(text))
