"""What formats of a question with choices have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from axolotl.formats._fields import first_text, required_texts

CHOICE_FIELDS = ("question", "choices", "solution")


def choice_lines(row: Mapping[str, Any]) -> str:
    r"""The choices, one a line.

    Raises:
        DataError: they are no list of texts.

    >>> choice_lines({"choices": ["red", "blue"]})
    '- "red"\n- "blue"'
    """
    return "\n".join(f'- "{choice}"' for choice in required_texts(row, "choices"))


def choice_answer(row: Mapping[str, Any]) -> str:
    """The solution, or the explanation where there is none.

    Raises:
        DataError: the row has neither, or it is not text.
    """
    return first_text(row, "solution", "explanation")
