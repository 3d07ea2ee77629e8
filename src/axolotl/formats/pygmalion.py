"""Conversations of Pygmalion: turns of `role` and `value`, from system, human and bot.

What the bot says and its end token are trained; the rest is masked. The first piece has the begin
token; with `prompt_templates: "2023-10"` only a system turn has one. A turn of another role is left
out, and counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from axolotl.config.sources import PromptTemplates
from axolotl.errors import DataError
from axolotl.formats._asked import turns_of
from axolotl.formats._turns import EMPTY_TURN, turn_objects, turn_text
from axolotl.records import Segment

SUFFIX = None
VARIANT = None
LONG_ROWS: Literal["drop", "split"] = "drop"

FIELD = "conversations"
LEFT_OUT = "a turn left out, from neither system, human nor bot"

_PERSONA = "<|system|>Persona: "
_USER = "<|user|> "
_MODEL = "<|model|>"
_START = "\n<START>"
_ROLES = ("system", "human", "bot")


class Options(BaseModel):
    """What a dataset entry may say about this format."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt_templates: PromptTemplates = Field(
        "canonical", description="With `2023-10` only a system turn has a begin token"
    )


def fields(options: Options) -> tuple[str, ...]:
    """Fields that every row must have."""
    return (FIELD,)


def segments(row: Mapping[str, Any], options: Options) -> list[Segment]:
    """The conversation of one row.

    Raises:
        DataError: it has no turns, or one without role or text.

    >>> row = {"conversations": [{"role": "human", "value": "Hi. "}, {"role": "bot", "value": "Yes?"}]}
    >>> [(part.text, part.train) for part in segments(row, Options())]
    [('<|user|> Hi.', False), ('<|model|>', False), (' Yes?', True)]
    """
    found: list[Segment] = []
    for role, text in _turns(row):
        bos = role == "system" if options.prompt_templates == "2023-10" else not found
        if role == "system":
            found.append(Segment(_PERSONA + text.removesuffix(_START).strip(), False, bos=bos))
        elif role == "human":
            found.append(Segment(_USER + text.strip(), False, bos=bos))
        elif role == "bot":
            found.append(Segment(_MODEL, False, bos=bos))
            found.append(Segment(f" {text.strip()}", True, eos=1, joined=True))
    return found


def remarks(row: Mapping[str, Any], options: Options) -> list[str]:
    """What is odd about a row that is used as it is."""
    turns = _turns(row)
    found = [LEFT_OUT] if any(role not in _ROLES for role, _ in turns) else []
    return found + ([EMPTY_TURN] if not all(text.strip() for _, text in turns) else [])


def prompt(text: str, options: Options) -> list[Segment]:
    """What stands before the answer to a plain question."""
    bos = options.prompt_templates != "2023-10"
    return [Segment(_USER + text.strip(), False, bos=bos), Segment(_MODEL, False)]


def conversation(
    messages: Sequence[Mapping[str, Any]], options: Options, tools: Sequence[Any] | None = None
) -> list[Segment]:
    """What stands before the next answer in a conversation."""
    turns, system = turns_of(messages)
    said = [("human" if turn.speaker == "user" else "bot", turn.text) for turn in turns]
    said = [("system", system), *said] if system is not None else said
    return asked({FIELD: [{"role": role, "value": text} for role, text in said]}, options)


def asked(row: Mapping[str, Any], options: Options) -> list[Segment]:
    """What stands before the answer that a row ends with, or that is to come."""
    written = turn_objects(row, FIELD, ("role", "value", "human"))
    if written and written[-1].get("role") == "bot":
        written = written[:-1]
    open_end = [*written, {"role": "bot", "value": ""}]
    return segments({FIELD: open_end}, options)[:-1]


def _turns(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Role and text of every turn."""
    turns = turn_objects(row, FIELD, ("role", "value", "human"))
    if not turns:
        raise DataError(f"'{FIELD}' has no turns", hint="take the row out, or add what is missing")
    return [
        (turn_text(turn, number, ("role",)), turn_text(turn, number, ("value",)))
        for number, turn in enumerate(turns, start=1)
    ]
