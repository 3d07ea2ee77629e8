"""A question with choices, answered with a reason: the Alpaca prompt, the choices as its input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from axolotl.formats._alpaca_prompt import SystemTexts
from axolotl.formats._choices import CHOICE_FIELDS, choice_answer, choice_lines
from axolotl.formats._fields import required_text
from axolotl.formats._instruction import AlpacaOptions, exchange, question
from axolotl.records import Segment

SUFFIX = "style"
VARIANT = None
LONG_ROWS: Literal["drop", "split"] = "drop"

_TEXT = "Choose the answer that best answers the question. Explain your reasoning.\n"
_TEXTS = SystemTexts(_TEXT, _TEXT)


class Options(AlpacaOptions):
    """What a dataset entry may say about this format."""


def fields(options: Options) -> tuple[str, ...]:
    """Fields that every row must have; `explanation` may stand for `solution`."""
    return CHOICE_FIELDS


def segments(row: Mapping[str, Any], options: Options) -> list[Segment]:
    """The prompt and the answer of one row.

    Raises:
        DataError: a field is missing, null or of another kind.
    """
    prompt = options.prompt(required_text(row, "question"), choice_lines(row), _TEXTS)
    return exchange(prompt, choice_answer(row), options)


def prompt(text: str, options: Options) -> list[Segment]:
    """What stands before the answer to a plain question, which has no choices."""
    return question(options.prompt(text, texts=_TEXTS))
