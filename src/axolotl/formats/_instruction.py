"""What formats of a prompt and an answer have in common.

Prompt and answer are tokenized apart. The prompt is masked unless `train_on_inputs`; the answer and
its end token are always trained.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from axolotl.config.sources import PromptTemplates
from axolotl.formats._alpaca_prompt import ALPACA, Style, SystemTexts, alpaca_prompt
from axolotl.records import Segment


class Instruction(BaseModel):
    """Options of a format that has a prompt and an answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train_on_inputs: bool = Field(False, description="Train on the prompt too")


class AlpacaOptions(Instruction):
    """Options of a format that is built on the Alpaca prompt."""

    style: Style = Field("instruct", description="Form of the prompt")
    prompt_templates: PromptTemplates = Field("canonical", description="Wording of the prompt")

    def prompt(self, instruction: str, extra: str = "", texts: SystemTexts = ALPACA) -> str:
        """The prompt in this style and wording."""
        return alpaca_prompt(
            instruction, extra, style=self.style, wording=self.prompt_templates, texts=texts
        )


class OneForm(Instruction):
    """Options of a format whose style is accepted, because files have it, and changes nothing."""

    style: Style = Field(
        "chat",
        description="Has no effect: there is one form of the prompt",
        json_schema_extra={"idle": True},
    )


def exchange(prompt: str, answer: str, options: Instruction, *, eos: int = 1) -> list[Segment]:
    """A prompt and its answer.

    Args:
        prompt: What stands before the answer.
        answer: What is trained.
        options: Whether the prompt is trained too.
        eos: How many end tokens the answer ends with.

    >>> exchange("2+2=", "4", Instruction())[1]
    Segment(text='4', train=True, bos=False, eos=1, joined=False)
    """
    return [
        Segment(prompt, options.train_on_inputs, bos=True),
        Segment(answer, True, eos=eos),
    ]


def question(prompt: str) -> list[Segment]:
    """A prompt alone, to be answered."""
    return [Segment(prompt, False, bos=True)]
