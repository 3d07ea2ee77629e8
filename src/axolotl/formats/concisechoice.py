"""A question with choices, answered in few words.

There is one form: that of a chat, with the system text in front as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from axolotl.formats._alpaca_prompt import CHAT
from axolotl.formats._choices import CHOICE_FIELDS, choice_answer, choice_lines
from axolotl.formats._fields import required_text
from axolotl.formats._instruction import OneForm, exchange, question
from axolotl.records import Segment

SUFFIX = "style"
VARIANT = None
LONG_ROWS: Literal["drop", "split"] = "drop"

_TEXT = "Choose the answer that best answers the question. Be concise in your response.\n\n"


class Options(OneForm):
    """What a dataset entry may say about this format."""


def fields(options: Options) -> tuple[str, ...]:
    """Fields that every row must have; `explanation` may stand for `solution`."""
    return CHOICE_FIELDS


def segments(row: Mapping[str, Any], options: Options) -> list[Segment]:
    """The prompt and the answer of one row.

    Raises:
        DataError: a field is missing, null or of another kind.
    """
    prompt = _TEXT + CHAT.fill(required_text(row, "question"), choice_lines(row))
    return exchange(prompt, choice_answer(row), options)


def prompt(text: str, options: Options) -> list[Segment]:
    """What stands before the answer to a plain question, which has no choices."""
    return question(_TEXT + CHAT.fill(text))
