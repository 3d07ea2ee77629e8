"""What stands before an answer that is yet to come: of messages, and of rows without their answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from axolotl.errors import DataError
from axolotl.formats._fields import kind_of, missing_field
from axolotl.formats._turns import Said
from axolotl.records import Segment
from axolotl.templates.conversation import Turn

_TO_COME = "\N{SYMBOL FOR NULL}"
"""Stands, with the name of a field, for what is not there yet."""


def turns_of(messages: Sequence[Mapping[str, Any]]) -> tuple[list[Turn], str | None]:
    """Turns and system text of messages with `role` and `content`.

    Args:
        messages: From `user` and `assistant`, perhaps `system` first.

    Raises:
        DataError: another role, a system text in the middle, no text, or no question at the end.

    >>> turns_of([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi."}])
    ([Turn(speaker='user', text='Hi.')], 'Be brief.')
    """
    turns: list[Turn] = []
    system: str | None = None
    for number, message in enumerate(messages, start=1):
        role, text = message.get("role"), message.get("content")
        if not isinstance(text, str):
            raise DataError(f"the content of message {number} is {kind_of(text)}, not text")
        if role == "system" and number == 1:
            system = text
        elif role in ("user", "assistant"):
            turns.append(Turn("user" if role == "user" else "model", text))
        else:
            where = " in the middle" if role == "system" else ""
            raise DataError(
                f"message {number} is from '{role}'{where}, which this format has no place for",
                hint="it knows user, assistant, and system first",
            )
    return ends_in_question(turns), system


def only_question(messages: Sequence[Mapping[str, Any]], kind: str) -> str:
    """The one question that a format without conversations can ask.

    Args:
        messages: As for `turns_of`.
        kind: The format, for messages.

    Raises:
        DataError: there is more than one message from the user.
    """
    turns, system = turns_of(messages)
    if len(turns) == 1 and not system:
        return turns[0].text
    what = "system text" if len(turns) == 1 else "earlier turns"
    raise DataError(
        f"the format {kind} asks single questions: it has no place for {what}",
        hint="send one message from the user, or choose a format of conversations (--prompter)",
    )


def ends_in_question(turns: list[Turn]) -> list[Turn]:
    """The turns as they are, if an answer can follow.

    Raises:
        DataError: there are none, or the last is the model's.
    """
    if not turns or turns[-1].speaker != "user":
        raise DataError(
            "there is no question to answer" if not turns else "the last message is an answer",
            hint="let the last message be the user's",
        )
    return turns


def without_answer(said: Said) -> list[Turn]:
    """The turns of a row before the answer that it ends with, or that is to come."""
    ends = bool(said.turns) and said.turns[-1].speaker == "model"
    return ends_in_question(said.turns[:-1] if ends else said.turns)


def before_answer(
    row: Mapping[str, Any],
    fields: Sequence[str],
    segments: Callable[[Mapping[str, Any]], list[Segment]],
) -> list[Segment]:
    """What stands before the answer of a row with a prompt and an answer, which may be missing.

    Args:
        row: The row.
        fields: Fields that a row of training must have.
        segments: Makes segments of such a row, of which only the answer is trained.

    Raises:
        DataError: another field than that of the answer is missing, or cannot be used.
    """
    to_come = {name: f"{_TO_COME}{name}" for name in fields if name not in row}
    try:
        found = segments({**row, **to_come})
    except DataError as error:
        for name in to_come:
            if f"'{name}'" in error.what:  # what is not there has the wrong kind
                raise missing_field(row, name, "a value") from None
        raise
    end = len(found)
    while end and found[end - 1].train:
        end -= 1
    for name, text in to_come.items():
        if not end or any(text in part.text for part in found[:end]):
            raise missing_field(row, name, "a text")
    if not end:  # all of it is trained, as of a text: it is what is to be continued
        return [replace(part, train=False, eos=0) for part in found]
    return [replace(part, train=False) for part in found[:end]]
