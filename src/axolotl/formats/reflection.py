"""An answer, a reflection on it and a better answer, all of which are trained.

Without a style there is no system text, only the turn: that is what the type meant when the models
that know it were trained. `:instruct` and `:chat` put the long system text in front. Prompt and
answer are tokenized together. A row of which one of the three texts is empty has nothing to train.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from axolotl.config.sources import PromptTemplates
from axolotl.formats._alpaca_prompt import CHAT, FORMS, SystemTexts
from axolotl.formats._fields import optional_text, required_text
from axolotl.formats._instruction import Instruction, question
from axolotl.records import Segment

SUFFIX = "style"
VARIANT = None
LONG_ROWS: Literal["drop", "split"] = "drop"

_TASK = (
    " You, the Assistant, should generate a response as if it were an abstract for an academic or "
    "technical paper on the query along with a methodology. Then generate an Agent Reflection where "
    "you create a long form response as if from subject matter expert, be verbose, diligent, and "
    "creative in your application of knowledge, apply it through the lens of the response generated "
    "by the assistant. Look for flawed reasoning, faulty logic, or other mistakes in the method. "
    "Finally, generate a final response and method for the user with the Assistant abstract and "
    "Reflection analysis as augmentations to the generation\n\n"
)
_TEXTS = SystemTexts(
    "Below is an instruction that describes a task, paired with an input that provides further "
    f"context.{_TASK}",
    f"Below is an instruction that describes a task.{_TASK}",
)
_ANSWER = (
    "### Thought:\n{output}\n\n### Agent Reflection:\n{reflection}\n\n"
    "### Final Response:\n{corrected}"
)
_CHAT_ANSWER_2023_10 = "\nTHOUGHT: {output}\nASSISTANT REFLECTION: {reflection}\nASSISTANT:"
_CHAT_ANSWER = _CHAT_ANSWER_2023_10 + " {corrected}"
_PARTS = ("output", "reflection", "corrected")


class Options(Instruction):
    """What a dataset entry may say about this format."""

    style: Literal["", "instruct", "chat"] = Field(
        "", description="Form of the prompt; without one it has no system text"
    )
    prompt_templates: PromptTemplates = Field(
        "canonical", description="Wording; that of 2023-10 loses the better answer of `:chat`"
    )


def fields(options: Options) -> tuple[str, ...]:
    """Fields that every row must have."""
    return ("instruction", *_PARTS)


def segments(row: Mapping[str, Any], options: Options) -> list[Segment]:
    """The prompt and the answer of one row.

    Raises:
        DataError: a field is missing, null or not text.
    """
    instruction, extra = required_text(row, "instruction"), optional_text(row, "input")
    parts = {name: required_text(row, name) for name in _PARTS}
    answer = _answer(options).format(**parts) if all(parts.values()) else ""
    return [
        Segment(_prompt_text(instruction, extra, options), options.train_on_inputs, bos=True),
        Segment(answer, True, eos=1, joined=bool(answer)),
    ]


def prompt(text: str, options: Options) -> list[Segment]:
    """What stands before the answer to a plain question."""
    return question(_prompt_text(text, "", options))


def _prompt_text(instruction: str, extra: str, options: Options) -> str:
    form = CHAT if options.style == "chat" else FORMS["instruct"]
    # It has no wrapper, so the newlines at its end are needed in every wording.
    system = _TEXTS.text(extra, "2023-10") if options.style else ""
    return system + form.fill(instruction, extra)


def _answer(options: Options) -> str:
    if options.style != "chat":
        return _ANSWER
    return _CHAT_ANSWER_2023_10 if options.prompt_templates == "2023-10" else _CHAT_ANSWER
