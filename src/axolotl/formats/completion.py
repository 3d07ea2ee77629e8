"""Plain text, trained from its first token to its end token.

A text longer than `sequence_len` is not dropped but cut into consecutive rows; nothing of it is
lost. Only the first of them has the begin token and only the last the end token.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from axolotl.formats._fields import required_text
from axolotl.records import Segment

SUFFIX = "field"
VARIANT = None
LONG_ROWS: Literal["drop", "split"] = "split"


class Options(BaseModel):
    """What a dataset entry may say about this format."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    field: str = Field("text", description="The column that holds the text")


def fields(options: Options) -> tuple[str, ...]:
    """Fields that every row must have."""
    return (options.field,)


def segments(row: Mapping[str, Any], options: Options) -> list[Segment]:
    """The whole text of one row.

    Raises:
        DataError: the field is missing, null or not text.

    >>> segments({"text": "Some text."}, Options())
    [Segment(text='Some text.', train=True, bos=True, eos=1, joined=False)]
    """
    return [Segment(required_text(row, options.field), True, bos=True, eos=1)]


def prompt(text: str, options: Options) -> list[Segment]:
    """What stands before the answer: the text itself, to be continued."""
    return [Segment(text, False, bos=True)]
