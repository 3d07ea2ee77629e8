"""Rows that bring their own system text; where it is empty, nothing stands in its place.

alpaca_w_system, .load_chat            system, instruction, input, output: as `alpaca:chat`
alpaca_w_system.load_instruct          the same as `alpaca:instruct`
alpaca_w_system.load_open_orca         system_prompt, question, response: Human and Assistant
alpaca_w_system.load_open_orca_chatml  the same as `alpaca:chatml`
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from axolotl.config.sources import PromptTemplates
from axolotl.formats._alpaca_prompt import Form, Style, form
from axolotl.formats._fields import nullable_text, optional_text, required_text
from axolotl.formats._instruction import Instruction, exchange, question
from axolotl.records import Segment

SUFFIX = None
VARIANT = "variant"
LONG_ROWS: Literal["drop", "split"] = "drop"

Variant = Literal["load_chat", "load_instruct", "load_open_orca", "load_open_orca_chatml"]

_OPEN_ORCA = Form(
    "### System:\n{system}\n",
    "### Human:\n{instruction}\n### Additional Context:\n{input}\n### Assistant:\n",
    "### Human:\n{instruction}\n### Assistant:\n",
)
_STYLES: Mapping[Variant, Style] = {
    "load_chat": "chat",
    "load_instruct": "instruct",
    "load_open_orca_chatml": "chatml",
}


class Options(Instruction):
    """What a dataset entry may say about this format."""

    variant: Variant = Field("load_chat", description="Kind of the rows, and form of the prompt")
    prompt_templates: PromptTemplates = Field("canonical", description="Wording of the prompt")


def fields(options: Options) -> tuple[str, ...]:
    """Fields that every row must have."""
    return (
        ("system_prompt", "question", "response")
        if "open_orca" in options.variant
        else ("system", "instruction", "output")
    )


def segments(row: Mapping[str, Any], options: Options) -> list[Segment]:
    """The prompt and the answer of one row.

    Raises:
        DataError: a field is missing or not text; only the system text may be null.
    """
    system, instruction, answer = fields(options)
    text = _form(options).fill(
        required_text(row, instruction),
        optional_text(row, "input") if instruction == "instruction" else "",
        system=nullable_text(row, system),
    )
    return exchange(text, required_text(row, answer), options)


def prompt(text: str, options: Options) -> list[Segment]:
    """What stands before the answer to a plain question, without a system text."""
    return question(_form(options).fill(text))


def _form(options: Options) -> Form:
    style = _STYLES.get(options.variant)
    return form(style, options.prompt_templates) if style else _OPEN_ORCA
