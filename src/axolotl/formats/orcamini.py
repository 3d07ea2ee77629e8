"""A system text, a question and a response, in the form of Orca Mini."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from axolotl.formats._alpaca_prompt import Form
from axolotl.formats._fields import nullable_text, required_text
from axolotl.formats._instruction import Instruction, exchange, question
from axolotl.records import Segment

SUFFIX = None
VARIANT = None
LONG_ROWS: Literal["drop", "split"] = "drop"

_TURN = "### User:\n{instruction}\n\n### Response:\n"
_FORM = Form("### System:\n{system}\n\n", _TURN, _TURN)


class Options(Instruction):
    """What a dataset entry may say about this format."""


def fields(options: Options) -> tuple[str, ...]:
    """Fields that every row must have."""
    return ("system_prompt", "question", "response")


def segments(row: Mapping[str, Any], options: Options) -> list[Segment]:
    """The prompt and the answer of one row.

    Raises:
        DataError: a field is missing or not text; only the system text may be null.
    """
    system = nullable_text(row, "system_prompt")
    text = _FORM.fill(required_text(row, "question"), system=system)
    return exchange(text, required_text(row, "response"), options)


def prompt(text: str, options: Options) -> list[Segment]:
    """What stands before the answer to a plain question."""
    return question(_FORM.fill(text))
