"""Own prompts: a mapping in the place of `type`.

    type:
      field_instruction: q
      field_output: a
      format: "[INST] {instruction} {input} [/INST]"
      no_input_format: "[INST] {instruction} [/INST]"

The templates know `{instruction}`, `{input}` and `{system}`, and nothing can be asked of these.
Braces that are meant as such are doubled. Every row needs the columns of the instruction and of the
answer: a row without one is a bad row, and no empty text takes its place; only the input and the
system text may be missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter
from typing import Any, Literal

from pydantic import ValidationInfo, field_validator

from axolotl.config.sources import CustomPrompt
from axolotl.formats._alpaca_prompt import Form
from axolotl.formats._fields import optional_text, required_text
from axolotl.formats._instruction import Instruction, exchange, question
from axolotl.records import Segment

SUFFIX = None
VARIANT = None
LONG_ROWS: Literal["drop", "split"] = "drop"

_KNOWN = {
    "system_format": ("system",),
    "format": ("instruction", "input"),
    "no_input_format": ("instruction",),
}


class Options(CustomPrompt, Instruction):
    """What the mapping and the rest of the entry say."""

    @field_validator(*_KNOWN)
    @classmethod
    def _check_template(cls, template: str, info: ValidationInfo) -> str:
        known = _KNOWN[str(info.field_name)]
        there = " and ".join(f"{{{name}}}" for name in known)
        try:
            parts = list(Formatter().parse(template))
        except ValueError as error:
            raise ValueError(
                f"{template!r} has a single brace ({error}); write braces that are meant as such "
                f"twice, and placeholders as {there}"
            ) from error
        for _, name, spec, conversion in parts:
            if name is not None and (name not in known or spec or conversion):
                mark = f"!{conversion}" if conversion else ""
                asked = f"{{{name}{mark}{f':{spec}' if spec else ''}}}"
                raise ValueError(
                    f"{asked} is no placeholder; there is {there}, as it stands; "
                    "braces that are meant as such are doubled"
                )
        return template


def fields(options: Options) -> tuple[str, ...]:
    """Fields that every row must have."""
    return (options.field_instruction, options.field_output)


def segments(row: Mapping[str, Any], options: Options) -> list[Segment]:
    """The prompt and the answer of one row.

    Raises:
        DataError: a field is missing, null or not text.
    """
    text = _form(options).fill(
        required_text(row, options.field_instruction),
        optional_text(row, options.field_input),
        system=optional_text(row, options.field_system) or options.system_prompt,
    )
    return exchange(text, required_text(row, options.field_output), options)


def prompt(text: str, options: Options) -> list[Segment]:
    """What stands before the answer to a plain question."""
    return question(_form(options).fill(text, system=options.system_prompt))


def _form(options: Options) -> Form:
    return Form(options.system_format, options.format, options.no_input_format)
