"""From the turns of a row to who says what; a turn that does not fit is named by its number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, cast

from axolotl.errors import DataError
from axolotl.formats._fields import kind_of, missing_field
from axolotl.registry import nearest
from axolotl.templates.conversation import Speaker, Turn

SYSTEM = "system"
MODEL_FIRST = "the model speaks first"
TWO_IN_A_ROW = "two turns of one side in a row"
EMPTY_TURN = "a turn without text"
LEFT_OUT = "first turn left out, from neither the user nor the model"

_USERS = ("user", "human", "prompter")
_MODELS = ("assistant", "gpt", "bot", "model", "chatgpt")
_SHAPES = {
    ("role", "content"): "chat_template",
    ("role", "value"): "sharegpt.load_role",
    ("role", "text"): "sharegpt.load_guanaco",
    ("from", "value"): "sharegpt",
}
"""Keys of a turn → the type that reads them."""


class Layout(NamedTuple):
    """How turns are written.

    Args:
        role: Keys that say who speaks; the first that a turn has counts.
        text: Keys that say what, likewise.
        user: What the user is called.
        model: What the model is called.
        strict: Whether there are no other turns. Otherwise the first may be a system text, and one
            that is then first and of neither side is left out.
    """

    role: tuple[str, ...]
    text: tuple[str, ...]
    user: str
    model: str
    strict: bool = False


class Said(NamedTuple):
    """A conversation.

    Args:
        turns: What the two sides say.
        system: The system text; None for none.
        remarks: What is odd about it, though it is used.
    """

    turns: list[Turn]
    system: str | None
    remarks: list[str]


def read_turns(row: Mapping[str, Any], name: str, layout: Layout, *, least_turns: int = 2) -> Said:
    """The conversation of a row, which is not changed.

    Args:
        row: The row.
        name: Field with the list of turns.
        layout: How they are written.
        least_turns: How many there must be, 1 or 2.

    Raises:
        DataError: there are fewer turns, or one has an unknown role, no text or the wrong
            shape.
    """
    written = turn_objects(row, name, (layout.role[0], layout.text[0], layout.user))
    if len(written) < least_turns:
        count = "no turns" if not written else "one turn"
        raise DataError(
            f"'{name}' has {count}; a conversation has two at least",
            hint="take the row out, or add what is missing",
        )
    first, system = 0, None
    remarks: list[str] = []
    if not layout.strict:
        if _role(written, 0, layout) == SYSTEM:
            system, first = _text(written, 0, layout), 1
        role = _role(written, first, layout) if first < len(written) else layout.user
        if role not in (layout.user, layout.model, *_USERS, *_MODELS):
            remarks.append(LEFT_OUT)
            first += 1
    turns = [
        Turn(_speaker(written, place, layout), _text(written, place, layout))
        for place in range(first, len(written))
    ]
    return Said(turns, system, remarks + _oddities(turns))


def turn_objects(
    row: Mapping[str, Any], name: str, example: tuple[str, str, str]
) -> Sequence[Mapping[str, Any]]:
    """The turns of a row as they are written.

    Args:
        row: The row.
        name: Field with the list of turns.
        example: Keys of a turn and who may speak, for messages.

    Raises:
        DataError: it is missing, null or no list of objects.
    """
    value = row.get(name)
    if value is None:
        raise missing_field(row, name, "a list of turns")
    if not isinstance(value, list):
        raise DataError(
            f"'{name}' is {kind_of(value)}, not a list of turns",
            hint=f"write '{name}' as a list such as [{_written(example)}, …]",
        )
    turns = cast("list[object]", value)
    for number, turn in enumerate(turns, start=1):
        if type(turn) is not dict and not isinstance(turn, Mapping):
            raise DataError(
                f"turn {number} of '{name}' is {kind_of(turn)}, not an object",
                hint=f"write each turn as an object such as {_written(example)}",
            )
    return cast("list[Mapping[str, Any]]", value)


def _written(example: tuple[str, str, str]) -> str:
    role, text, speaker = example
    return f'{{"{role}": "{speaker}", "{text}": "…"}}'


def _role(turns: Sequence[Mapping[str, Any]], place: int, layout: Layout) -> str:
    return turn_text(turns[place], place + 1, layout.role)


def _text(turns: Sequence[Mapping[str, Any]], place: int, layout: Layout) -> str:
    return turn_text(turns[place], place + 1, layout.text)


def turn_text(turn: Mapping[str, Any], number: int, keys: tuple[str, ...]) -> str:
    """The text under the first of several keys that a turn has.

    Args:
        turn: The turn as it is written.
        number: Which it is, from 1, for messages.
        keys: What the key may be called.

    Raises:
        DataError: it has none of them, or null or no text there.
    """
    for key in keys:
        value = turn.get(key)
        if isinstance(value, str):
            return value
        if value is not None:
            raise DataError(
                f"'{key}' of turn {number} is {kind_of(value)}, not text",
                hint=f"write '{key}' as text in quotes",
            )
    null = next((key for key in keys if key in turn), None)
    if null is not None:
        raise DataError(
            f"'{null}' of turn {number} is null",
            hint="give the turn a text, which may be empty, or take the row out",
        )
    key = keys[0]
    has = ", ".join(map(str, turn)) or "nothing"
    raise DataError(f"turn {number} has no '{key}' (it has: {has})", hint=_shape_hint(turn, key))


def _shape_hint(turn: Mapping[str, Any], key: str) -> str:
    for keys, kind in _SHAPES.items():
        if key not in keys and all(name in turn for name in keys):
            return f"turns with `{keys[0]}` and `{keys[1]}` are read by `type: {kind}`"
    guess = nearest(key, turn)
    return f"rename '{guess}' to '{key}'" if guess else f"add '{key}', or take the row out"


def _speaker(turns: Sequence[Mapping[str, Any]], place: int, layout: Layout) -> Speaker:
    role = _role(turns, place, layout)
    if role == layout.user:
        return "user"
    if role == layout.model:
        return "model"
    raise DataError(
        f"turn {place + 1} is from '{role}', neither from '{layout.user}' nor from '{layout.model}'",
        hint=_role_hint(turns, role, layout),
    )


def _role_hint(turns: Sequence[Mapping[str, Any]], role: str, layout: Layout) -> str:
    if role == SYSTEM:
        return "a system text can only be the first turn"
    roles = [_role(turns, place, layout) for place in range(len(turns))]
    users = [name for name in roles if name in _USERS and name != layout.user]
    models = [name for name in roles if name in _MODELS and name != layout.model]
    if role in users or role in models:
        settings = [f"`field_human: {users[0]}`"] if users else []
        settings += [f"`field_model: {models[0]}`"] if models else []
        return f"add {' and '.join(settings)} to the data set's entry"
    return "`type: chat_template` takes turns of further roles; or take the turn out"


def _oddities(turns: Sequence[Turn]) -> list[str]:
    found: list[str] = []
    if turns and turns[0].speaker == "model":
        found.append(MODEL_FIRST)
    if any(a.speaker == b.speaker for a, b in pairwise(turns)):
        found.append(TWO_IN_A_ROW)
    if not all(turn.text.strip() for turn in turns):
        found.append(EMPTY_TURN)
    return found
