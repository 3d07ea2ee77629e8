"""A question about a text that stands before it.

context_qa           article, question, answer
context_qa.load_v2   context, question, answer; without a system text, and "Answer: " is trained
context_qa.load_404  article, unanswerable_question; the answer is that there is none
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from axolotl.config.sources import PromptTemplates
from axolotl.formats._alpaca_prompt import SystemTexts, alpaca_prompt
from axolotl.formats._fields import required_text
from axolotl.formats._instruction import Instruction, exchange, question
from axolotl.records import Segment

SUFFIX = None
VARIANT = "variant"
LONG_ROWS: Literal["drop", "split"] = "drop"

_TEXT = "Use the following contextual information to concisely answer the question.\n"
_TEXTS = SystemTexts(_TEXT, _TEXT)
_NO_ANSWER = (
    "The context provided does not contain any information about your inquiry. Therefore, I'm "
    "unable to answer your question based on the given context."
)


class Options(Instruction):
    """What a dataset entry may say about this format."""

    variant: Literal["", "load_v2", "load_404"] = Field("", description="Kind of the rows")
    prompt_templates: PromptTemplates = Field("canonical", description="Wording of the prompt")


def fields(options: Options) -> tuple[str, ...]:
    """Fields that every row must have."""
    return {
        "": ("article", "question", "answer"),
        "load_v2": ("context", "question", "answer"),
        "load_404": ("article", "unanswerable_question"),
    }[options.variant]


def segments(row: Mapping[str, Any], options: Options) -> list[Segment]:
    """The prompt and the answer of one row.

    Raises:
        DataError: a field is missing, null or not text.
    """
    context, asked, *answer = (required_text(row, name) for name in fields(options))
    if options.variant == "load_v2":
        text = f"Context: {context}\nQuestion: {asked}\n"
        return exchange(text, f"Answer: {answer[0]}", options)
    text = _prompt_text(f"{context}\n===\n{asked}", options)
    return exchange(text, answer[0] if answer else _NO_ANSWER, options)


def prompt(text: str, options: Options) -> list[Segment]:
    """What stands before the answer to a question with its context, or to a plain one."""
    if options.variant == "load_v2":
        return question(f"Question: {text}\n")
    return question(_prompt_text(text, options))


def _prompt_text(instruction: str, options: Options) -> str:
    return alpaca_prompt(instruction, style="chat", wording=options.prompt_templates, texts=_TEXTS)
