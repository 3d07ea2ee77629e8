"""The Alpaca prompt as a chat, for rows of several kinds.

    alpaca_chat                 instruction, input, output (or response)
    alpaca_chat.load_no_prompt  the same without a system text
    alpaca_chat.load_concise    the same with a system text that asks for few words
    alpaca_chat.load_qa         question, answer; asks for few words
    alpaca_chat.load_camel_ai   message_1, message_2; asks for few words

`conversation: chatml` or `conversation: instruct` puts the same texts into another style.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from axolotl.config.sources import PromptTemplates
from axolotl.formats._alpaca_prompt import (
    ALPACA,
    NO_SYSTEM_TEXT,
    Style,
    SystemTexts,
    alpaca_prompt,
)
from axolotl.formats._fields import first_text, optional_text, required_text
from axolotl.formats._instruction import Instruction, exchange, question
from axolotl.records import Segment

SUFFIX = None
VARIANT = "variant"
LONG_ROWS: Literal["drop", "split"] = "drop"

Variant = Literal["", "load_concise", "load_qa", "load_camel_ai", "load_no_prompt"]

_CONCISE = SystemTexts(
    "Below is an instruction from a USER that describes a task, paired with an input that provides "
    "further context. The ASSISTANT writes a response that concisely and appropriately completes "
    "the request.\n\n",
    "Below is an instruction from a USER that describes a task. The ASSISTANT writes a response that "
    "appropriately and concisely completes the request.\n\n",
)
_TEXTS: Mapping[Variant, SystemTexts] = {"": ALPACA, "load_no_prompt": NO_SYSTEM_TEXT}
_PAIRS: Mapping[Variant, tuple[str, str]] = {
    "load_qa": ("question", "answer"),
    "load_camel_ai": ("message_1", "message_2"),
}


class Options(Instruction):
    """What a dataset entry may say about this format."""

    variant: Variant = Field("", description="Kind of the rows")
    conversation: Style = Field("chat", description="Form of the prompt")
    prompt_templates: PromptTemplates = Field("canonical", description="Wording of the prompt")


def fields(options: Options) -> tuple[str, ...]:
    """Fields that every row must have; `response` may stand for `output`."""
    return _PAIRS.get(options.variant, ("instruction", "output"))


def segments(row: Mapping[str, Any], options: Options) -> list[Segment]:
    """The prompt and the answer of one row.

    Raises:
        DataError: a field is missing, null or not text.
    """
    if pair := _PAIRS.get(options.variant):
        prompt = _prompt_text(required_text(row, pair[0]), "", options)
        return exchange(prompt, required_text(row, pair[1]), options)
    instruction, extra = required_text(row, "instruction"), optional_text(row, "input")
    answer = first_text(row, "output", "response")
    return exchange(_prompt_text(instruction, extra, options), answer, options)


def prompt(text: str, options: Options) -> list[Segment]:
    """What stands before the answer to a plain question."""
    return question(_prompt_text(text, "", options))


def _prompt_text(instruction: str, extra: str, options: Options) -> str:
    return alpaca_prompt(
        instruction,
        extra,
        style=options.conversation,
        wording=options.prompt_templates,
        texts=_TEXTS.get(options.variant, _CONCISE),
    )
