"""Conversations in the form that the chat models of Llama 2 were trained in.

A question stands between `[INST]` and `[/INST]`, the system text inside the first of them. Every
question begins with the begin token, where the tokenizer has one that it sets itself, and every
answer ends with the end token. Question and answer are tokenized together; the answers are trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from axolotl.errors import DataError
from axolotl.formats._asked import turns_of, without_answer
from axolotl.formats._turns import Layout, read_turns
from axolotl.records import Segment
from axolotl.templates.conversation import Turn

SUFFIX = None
VARIANT = None
LONG_ROWS: Literal["drop", "split"] = "drop"

_FIELD = "conversations"
_LAYOUT = Layout(("from",), ("value",), "human", "gpt")
_SYSTEM = (
    "You are a helpful, respectful and honest assistant. Always answer as helpfully as possible, "
    "while being safe. Your answers should not include any harmful, unethical, racist, sexist, "
    "toxic, dangerous, or illegal content. Please ensure that your responses are socially unbiased "
    "and positive in nature.\n\nIf a question does not make any sense, or is not factually coherent, "
    "explain why instead of answering something not correct. If you don't know the answer to a "
    "question, please don't share false information."
)


class Options(BaseModel):
    """What a dataset entry may say about this format: nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def fields(options: Options) -> tuple[str, ...]:
    """Fields that every row must have."""
    return (_FIELD,)


def segments(row: Mapping[str, Any], options: Options) -> list[Segment]:
    """The conversation of one row; without a system turn it has the text that Llama 2 came with.

    Raises:
        DataError: it has fewer than two turns, or one that cannot stand where it does.
    """
    said = read_turns(row, _FIELD, _LAYOUT)
    return _written(said.turns, said.system)


def _written(turns: Sequence[Turn], system: str | None) -> list[Segment]:
    _check_order(turns)
    head = _system(_SYSTEM if system is None else system)
    parts: list[Segment] = []
    for number, turn in enumerate(turns):
        text = turn.text.strip()
        if turn.speaker == "model":
            parts.append(Segment(f" {text} ", True, eos=1, joined=True))
        else:
            parts.append(_question(text if number else head + text))
    return parts


def remarks(row: Mapping[str, Any], options: Options) -> list[str]:
    """What is odd about a row that is used as it is."""
    return read_turns(row, _FIELD, _LAYOUT).remarks


def prompt(text: str, options: Options) -> list[Segment]:
    """What stands before the answer to a plain question."""
    return [_question(_system(_SYSTEM) + text.strip())]


def conversation(
    messages: Sequence[Mapping[str, Any]], options: Options, tools: Sequence[Any] | None = None
) -> list[Segment]:
    """What stands before the next answer in a conversation."""
    return _masked(_written(*turns_of(messages)))


def asked(row: Mapping[str, Any], options: Options) -> list[Segment]:
    """What stands before the answer that a row ends with, or that is to come."""
    said = read_turns(row, _FIELD, _LAYOUT, least_turns=1)
    return _masked(_written(without_answer(said), said.system))


def _masked(parts: Sequence[Segment]) -> list[Segment]:
    return [replace(part, train=False) for part in parts]


def _system(text: str) -> str:
    return f"<<SYS>>\n{text}\n<</SYS>>\n\n" if text else ""


def _question(text: str) -> Segment:
    return Segment(f"[INST] {text} [/INST]", False, bos=True)


def _check_order(turns: Sequence[Turn]) -> None:
    for number, turn in enumerate(turns):
        due = "model" if number % 2 else "user"
        if turn.speaker != due:
            what = (
                "the model speaks first"
                if number == 0
                else f"two turns of the {turn.speaker} in a row"
            )
            raise DataError(
                f"'{_FIELD}' cannot be written in the form of Llama 2: {what}",
                hint="let user and model take turns, or use `type: sharegpt`",
            )
