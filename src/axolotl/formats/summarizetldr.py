"""An article and its summary, in one form, without a system text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from axolotl.formats._fields import required_text
from axolotl.formats._instruction import OneForm, exchange, question
from axolotl.records import Segment

SUFFIX = "style"
VARIANT = None
LONG_ROWS: Literal["drop", "split"] = "drop"


class Options(OneForm):
    """What a dataset entry may say about this format."""


def fields(options: Options) -> tuple[str, ...]:
    """Fields that every row must have."""
    return ("article", "summary")


def segments(row: Mapping[str, Any], options: Options) -> list[Segment]:
    """The prompt and the answer of one row.

    Raises:
        DataError: a field is missing, null or not text.
    """
    return exchange(_ask(required_text(row, "article")), required_text(row, "summary"), options)


def prompt(text: str, options: Options) -> list[Segment]:
    """What stands before the summary of a text."""
    return question(_ask(text))


def _ask(article: str) -> str:
    return f"USER: Summarize the following article as a TL;DR.\n{article}\nASSISTANT:"
