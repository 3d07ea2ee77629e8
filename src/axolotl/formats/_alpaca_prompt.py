"""The Alpaca prompt: a system text, then a turn with the instruction, in three styles.

By default the text is the original Alpaca wording, as datasets and models in the wild use it. The
wording `2023-10` is what the release of October 2023 made of it: system texts that end in newlines
of their own, and a heading in front of that of `instruct`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from axolotl.config.sources import PromptTemplates

Style = Literal["instruct", "chat", "chatml"]


@dataclass(frozen=True, slots=True)
class Form:
    """How a system text, an instruction and an input are put together.

    Args:
        system: What the system text is put into; left out where there is no text.
        turn: What instruction and input are put into.
        bare_turn: What an instruction without input is put into.
    """

    system: str
    turn: str
    bare_turn: str

    def fill(self, instruction: str, extra: str = "", *, system: str = "") -> str:
        """The prompt.

        >>> Form("{system}: ", "{instruction} {input}", "{instruction}").fill("Add.", system="Hi")
        'Hi: Add.'
        """
        head = self.system.format(system=system) if system else ""
        if extra:
            return head + self.turn.format(instruction=instruction, input=extra)
        return head + self.bare_turn.format(instruction=instruction)


@dataclass(frozen=True, slots=True)
class SystemTexts:
    """System texts of rows with and without an input, in the wording of October 2023."""

    with_input: str
    bare: str

    def text(self, extra: str, wording: PromptTemplates) -> str:
        """The system text of a row with the input `extra`, which may be empty."""
        text = self.with_input if extra else self.bare
        return text if wording == "2023-10" else text.rstrip("\n")


CHAT = Form(
    "SYSTEM: {system}\n",
    "USER: {instruction}\n{input}\nASSISTANT:",
    "USER: {instruction}\nASSISTANT:",
)
FORMS: Mapping[Style, Form] = {
    "instruct": Form(
        "{system}\n\n",
        "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n",
        "### Instruction:\n{instruction}\n\n### Response:\n",
    ),
    "chat": CHAT,
    "chatml": Form(
        "<|im_start|>system\n{system}<|im_end|>\n",
        "<|im_start|>user\n{instruction}\n{input}<|im_end|>\n<|im_start|>assistant\n",
        "<|im_start|>user\n{instruction}<|im_end|>\n<|im_start|>assistant\n",
    ),
}
_FORMS_2023_10 = {
    **FORMS,
    "instruct": replace(FORMS["instruct"], system="### System:\n{system}\n\n"),
}

ALPACA = SystemTexts(
    "Below is an instruction that describes a task, paired with an input that provides further "
    "context. Write a response that appropriately completes the request.\n\n",
    "Below is an instruction that describes a task. Write a response that appropriately completes "
    "the request.\n\n",
)
NO_SYSTEM_TEXT = SystemTexts("", "")


def form(style: Style, wording: PromptTemplates) -> Form:
    """The form of a style in a wording."""
    return (_FORMS_2023_10 if wording == "2023-10" else FORMS)[style]


def alpaca_prompt(
    instruction: str,
    extra: str = "",
    *,
    style: Style,
    wording: PromptTemplates,
    texts: SystemTexts = ALPACA,
) -> str:
    """The prompt that stands before an answer.

    Args:
        instruction: What to do.
        extra: The input; may be empty.
        style: Which form.
        wording: Which wording.
        texts: The system texts.
    """
    return form(style, wording).fill(instruction, extra, system=texts.text(extra, wording))
