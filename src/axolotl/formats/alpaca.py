"""Instruction, optional input, answer: the Alpaca prompt in its three styles.

The text is the original Alpaca wording, as datasets and models in the wild use it. Prompt and
answer are tokenized apart; the prompt is masked unless `train_on_inputs`, the answer and its end
token are always trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from axolotl.formats._fields import optional_text, required_text
from axolotl.records import Segment

SUFFIX = "style"
VARIANT = None
LONG_ROWS: Literal["drop", "split"] = "drop"

_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further "
    "context. Write a response that appropriately completes the request."
)
_WITHOUT_INPUT = (
    "Below is an instruction that describes a task. Write a response that appropriately completes "
    "the request."
)

Style = Literal["instruct", "chat", "chatml"]

_TEMPLATES: Mapping[Style, tuple[str, str, str, str]] = {
    # what stands before the instruction, between it and the input, after the input; after an
    # instruction without input. The system text is filled in below.
    "instruct": (
        "{system}\n\n### Instruction:\n",
        "\n\n### Input:\n",
        "\n\n### Response:\n",
        "\n\n### Response:\n",
    ),
    "chat": ("SYSTEM: {system}\nUSER: ", "\n", "\nASSISTANT:", "\nASSISTANT:"),
    "chatml": (
        "<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n",
        "\n",
        "<|im_end|>\n<|im_start|>assistant\n",
        "<|im_end|>\n<|im_start|>assistant\n",
    ),
}
_BEFORE_WITH_INPUT = {s: t[0].format(system=_WITH_INPUT) for s, t in _TEMPLATES.items()}
_BEFORE_WITHOUT_INPUT = {s: t[0].format(system=_WITHOUT_INPUT) for s, t in _TEMPLATES.items()}


class Options(BaseModel):
    """What a dataset entry may say about this format."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    style: Style = Field("instruct", description="Wording of the prompt")
    train_on_inputs: bool = Field(False, description="Train on the prompt too")


def fields(options: Options) -> tuple[str, ...]:
    """Fields that every row must have."""
    return ("instruction", "output")


def segments(row: Mapping[str, Any], options: Options) -> list[Segment]:
    """The prompt and the answer of one row.

    Raises:
        DataError: a field is missing, null or not text.

    >>> parts = segments({"instruction": "Name a colour.", "output": "Red."}, Options())
    >>> [(part.text.split()[-1], part.train) for part in parts]
    [('Response:', False), ('Red.', True)]
    """
    question = _prompt_text(
        required_text(row, "instruction"), optional_text(row, "input"), options.style
    )
    return [
        Segment(question, options.train_on_inputs, bos=True),
        Segment(required_text(row, "output"), True, eos=True),
    ]


def prompt(text: str, options: Options) -> list[Segment]:
    """What stands before the answer to a plain question."""
    return [Segment(_prompt_text(text, "", options.style), False, bos=True)]


def _prompt_text(instruction: str, extra: str, style: Style) -> str:
    _, between, after, after_bare = _TEMPLATES[style]
    if extra:
        return _BEFORE_WITH_INPUT[style] + instruction + between + extra + after
    return _BEFORE_WITHOUT_INPUT[style] + instruction + after_bare
