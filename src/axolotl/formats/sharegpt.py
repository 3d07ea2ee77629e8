"""Conversations of ShareGPT: a list of turns, each from the user, the model or the system.

    sharegpt               turns of `from` and `value`, from human, gpt, and system first
    sharegpt.load_role     turns of `role` and `value`
    sharegpt.load_guanaco  turns of `role` and `text`, or `from` and `value`; from prompter, assistant

`conversation` names the template, `field_human` and `field_model` what the two sides are called.
Only what the model says is trained, with the separator behind it and an end token. Two turns of one
side in a row, a model that speaks first and turns without text are used as they are, and counted; so
is a first turn of neither side, which is left out. With `vicuna_v1.1`, `roles` of a row may hold two
names in the place of USER and ASSISTANT.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

from pydantic import Field, model_validator

from axolotl.errors import DataError
from axolotl.formats._asked import turns_of, without_answer
from axolotl.formats._conversation import (
    DEFAULT,
    Conversing,
    conversation_prompt,
    conversation_segments,
    letters_for_tokens,
)
from axolotl.formats._turns import Layout, Said, read_turns
from axolotl.records import Segment
from axolotl.templates.conversation import Turn

SUFFIX = None
VARIANT = "variant"
LONG_ROWS: Literal["drop", "split"] = "drop"

FIELD = "conversations"
NAMES_UNUSED = f"`roles` without effect: only {DEFAULT} takes names from the row"

Variant = Literal["", "load_role", "load_guanaco"]

_LAYOUTS: Mapping[Variant, Layout] = {
    "": Layout(("from",), ("value",), "human", "gpt"),
    "load_role": Layout(("role",), ("value",), "human", "gpt"),
    "load_guanaco": Layout(
        ("role", "from"), ("text", "value"), "prompter", "assistant", strict=True
    ),
}


class Options(Conversing):
    """What a dataset entry may say about this format."""

    variant: Variant = Field("", description="How turns are written")
    field_human: str | None = Field(
        None,
        description="What marks the user's turns; `human` by default, `prompter` for load_guanaco",
    )
    field_model: str | None = Field(
        None,
        description="What marks the model's turns; `gpt` by default, `assistant` for load_guanaco",
    )

    @model_validator(mode="after")
    def _two_sides(self) -> Options:
        layout = self.layout
        if layout.user == layout.model:
            raise ValueError(f"the user and the model are both called '{layout.user}'")
        return self

    @property
    def layout(self) -> Layout:
        """How turns are written."""
        layout = _LAYOUTS[self.variant]
        return layout._replace(
            user=self.field_human or layout.user, model=self.field_model or layout.model
        )


def fields(options: Options) -> tuple[str, ...]:
    """Fields that every row must have."""
    return (FIELD,)


def segments(row: Mapping[str, Any], options: Options) -> list[Segment]:
    """The conversation of one row.

    Raises:
        DataError: it has fewer than two turns, or one of an unknown role, without text or of the
            wrong shape.

    >>> row = {"conversations": [{"from": "human", "value": "Hi."}, {"from": "gpt", "value": "Yes?"}]}
    >>> [part.text for part in segments(row, Options()) if part.train]
    [' Yes?</s>']
    """
    said = _read(row, options)
    names = _names(row) if options.conversation == DEFAULT else None
    return conversation_segments(said.turns, options, system=said.system, roles=names)


def remarks(row: Mapping[str, Any], options: Options) -> list[str]:
    """What is odd about a row that is used as it is."""
    found = _read(row, options).remarks + letters_for_tokens(options)
    if options.conversation != DEFAULT and row.get("roles") is not None:
        found.append(NAMES_UNUSED)
    return found


def prompt(text: str, options: Options) -> list[Segment]:
    """What stands before the answer to a plain question."""
    return conversation_prompt([Turn("user", text)], options)


def conversation(
    messages: Sequence[Mapping[str, Any]], options: Options, tools: Sequence[Any] | None = None
) -> list[Segment]:
    """What stands before the next answer in a conversation."""
    turns, system = turns_of(messages)
    return conversation_prompt(turns, options, system=system)


def asked(row: Mapping[str, Any], options: Options) -> list[Segment]:
    """What stands before the answer that a row ends with, or that is to come."""
    said = read_turns(row, FIELD, options.layout, least_turns=1)
    names = _names(row) if options.conversation == DEFAULT else None
    return conversation_prompt(without_answer(said), options, system=said.system, roles=names)


def _read(row: Mapping[str, Any], options: Options) -> Said:
    return read_turns(row, FIELD, options.layout)


def _names(row: Mapping[str, Any]) -> tuple[str, str] | None:
    """What the row calls the user and the model."""
    names = row.get("roles")
    if names is None:
        return None
    given = cast("list[Any]", names) if isinstance(names, list) else []
    if len(given) == 2 and all(isinstance(name, str) and name.strip() for name in given):
        return given[0], given[1]
    raise DataError(
        "'roles' is no list of two names",
        hint='write it as ["USER", "ASSISTANT"], or take it out',
    )
