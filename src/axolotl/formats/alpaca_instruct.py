"""Instruction, optional input, output: `alpaca` under another name, and without a system text.

alpaca_instruct                 as `alpaca`
alpaca_instruct.load_no_prompt  the same without a system text
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from axolotl.config.sources import PromptTemplates
from axolotl.formats._alpaca_prompt import ALPACA, NO_SYSTEM_TEXT, alpaca_prompt
from axolotl.formats._fields import optional_text, required_text
from axolotl.formats._instruction import Instruction, exchange, question
from axolotl.records import Segment

SUFFIX = None
VARIANT = "variant"
LONG_ROWS: Literal["drop", "split"] = "drop"


class Options(Instruction):
    """What a dataset entry may say about this format."""

    variant: Literal["", "load_no_prompt"] = Field("", description="Whether there is a system text")
    prompt_templates: PromptTemplates = Field("canonical", description="Wording of the prompt")


def fields(options: Options) -> tuple[str, ...]:
    """Fields that every row must have."""
    return ("instruction", "output")


def segments(row: Mapping[str, Any], options: Options) -> list[Segment]:
    """The prompt and the answer of one row.

    Raises:
        DataError: a field is missing, null or not text.
    """
    instruction, extra = required_text(row, "instruction"), optional_text(row, "input")
    return exchange(
        _prompt_text(instruction, extra, options), required_text(row, "output"), options
    )


def prompt(text: str, options: Options) -> list[Segment]:
    """What stands before the answer to a plain question."""
    return question(_prompt_text(text, "", options))


def _prompt_text(instruction: str, extra: str, options: Options) -> str:
    return alpaca_prompt(
        instruction,
        extra,
        style="instruct",
        wording=options.prompt_templates,
        texts=NO_SYSTEM_TEXT if options.variant else ALPACA,
    )
