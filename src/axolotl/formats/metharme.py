"""A prompt that is used as it is, and what is generated from it, with three end tokens.

The rows bring their own marks, such as `<|user|>`; nothing is put around them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from axolotl.formats._fields import required_text
from axolotl.formats._instruction import Instruction, exchange, question
from axolotl.records import Segment

SUFFIX = None
VARIANT = None
LONG_ROWS: Literal["drop", "split"] = "drop"

_END_TOKENS = 3


class Options(Instruction):
    """What a dataset entry may say about this format."""


def fields(options: Options) -> tuple[str, ...]:
    """Fields that every row must have."""
    return ("prompt", "generation")


def segments(row: Mapping[str, Any], options: Options) -> list[Segment]:
    """The prompt and the answer of one row.

    Raises:
        DataError: a field is missing, null or not text.
    """
    text, generation = required_text(row, "prompt"), required_text(row, "generation")
    return exchange(text, generation, options, eos=_END_TOKENS)


def prompt(text: str, options: Options) -> list[Segment]:
    """What stands before the answer: the text itself."""
    return question(text)
