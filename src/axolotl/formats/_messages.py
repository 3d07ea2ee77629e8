"""From a row to the messages that a chat template is given, and what is to be trained of each.

The row is not changed. Turns in the manner of OpenAI (`role`, `content`) and of ShareGPT (`from`,
`value`) are both read where nothing else is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from axolotl.errors import DataError
from axolotl.formats._content import Content, content_of_parts, split_thought
from axolotl.formats._details import Part, details_of
from axolotl.formats._fields import kind_of, missing_field, optional_text
from axolotl.formats._fitting import fitting_types
from axolotl.formats._tools import call_of, calls_of, older_call_of, plain, tools_of
from axolotl.formats._turns import turn_objects, turn_text
from axolotl.registry import nearest

REASONING = ("reasoning_content", "thinking", "reasoning")
"""What templates call the reasoning; the first is the name of today."""
_ROLE_KEYS, _CONTENT_KEYS = ("role", "from"), ("content", "value")
_MEANT = {
    "function_call": "assistant",
    **dict.fromkeys(("chatgpt", "bot", "model"), "assistant"),
    **dict.fromkeys(("observation", "function_response", "ipython"), "tool"),
    "prompter": "user",
}


class Reading(NamedTuple):
    """How rows are read.

    Args:
        messages: Columns with the turns; the first that a row has counts.
        role: Keys of a turn that say who speaks, likewise.
        content: Keys that say what, likewise.
        names: Key of a turn → what the template calls it, where that is another name.
        roles: Name of a role in the rows → its name in the template.
        trained: Roles whose turns are trained.
        training: Key of a turn that says whether it is trained.
        detail: Key of a turn that says which characters are.
        tools: Column with the tools.
        thinking: Key of a turn with the reasoning, and what the template calls it.
        split_thinking: Whether reasoning is taken out of the content.
        drop_system: Whether system turns are left out.
        system: Column with a system text that is put first.
    """

    messages: tuple[str, ...]
    role: tuple[str, ...]
    content: tuple[str, ...]
    names: Mapping[str, str]
    roles: Mapping[str, str]
    trained: frozenset[str]
    training: str | None
    detail: str | None
    tools: str
    thinking: tuple[str, str]
    split_thinking: bool
    drop_system: bool
    system: str | None


class Chat(NamedTuple):
    """A conversation.

    Args:
        messages: What the template is given.
        trained: Whether each is trained.
        parts: Number of a message → parts of its content with their own answer to that.
        tools: The tools; None for none.
        plain: Whether the messages have nothing but a role and a text, and there are no tools.
    """

    messages: list[dict[str, Any]]
    trained: list[bool]
    parts: dict[int, list[Part]]
    tools: list[Any] | None
    plain: bool = False


def read_chat(row: Mapping[str, Any], reading: Reading) -> Chat:
    """The conversation of a row.

    Args:
        row: The row.
        reading: How it is read.

    Raises:
        DataError: it has no turns, or one of an unknown role, without text or of the wrong shape, or
            tools or calls that are none.
    """
    tools = tools_of(row, reading.tools)
    messages: list[dict[str, Any]] = []
    trained: list[bool] = []
    parts: dict[int, list[Part]] = {}
    system = optional_text(row, reading.system) if reading.system else ""
    if system:
        messages.append({"role": "system", "content": system})
        trained.append("system" in reading.trained)
    turns = _turns(row, reading)
    plain_turns = tools is None
    simple = not (reading.training or reading.detail or reading.split_thinking)
    pairs = tuple(zip(reading.role, reading.content, strict=False))
    for number, turn in enumerate(turns, start=1):
        message = _simple_message(turn, pairs, reading.roles) if simple else None
        if message is not None:
            role = message["role"]
            if role == "system" and reading.drop_system:
                continue
            trained.append(role in reading.trained)
            messages.append(message)
            continue
        said = _text_of(turn, number, reading.role, _ROLE_KEYS)
        role = reading.roles.get(said)
        if role is None:
            raise _unknown_role(said, number, turns, reading)
        if role == "system" and reading.drop_system:
            continue
        content = _content(turn, number, reading)
        message = _message(turn, number, role, content, reading)
        plain_turns = plain_turns and len(message) == 2 and content.text is not None
        if content.parts:
            parts[len(messages)] = list(content.parts)
        messages.append(message)
        trained.append(_trained(turn, number, role, reading))
    if not messages:
        raise DataError("the conversation has no turns but a system text, which is left out")
    return Chat(messages, trained, parts, tools, plain_turns)


def _simple_message(
    turn: Mapping[str, Any], pairs: Sequence[tuple[str, str]], roles: Mapping[str, str]
) -> dict[str, Any] | None:
    """The message of a turn of two keys, a role that is known and a text; None for any other."""
    if len(turn) == 2:
        for key, value in pairs:
            said, content = turn.get(key), turn.get(value)
            if type(content) is str and type(said) is str and said in roles:
                return {"role": roles[said], "content": content}
    return None


def _text_of(
    turn: Mapping[str, Any], number: int, keys: tuple[str, ...], usual: tuple[str, ...]
) -> str:
    """The text of a turn under one of some keys, that are or stand in for the usual ones."""
    try:
        return turn_text(turn, number, keys)
    except DataError as error:
        held = next((key for key in usual if turn.get(key) is not None), None)
        if held is None or held in keys or keys[0] in turn:
            raise
        mapped = f"message_property_mappings: {{{usual[0]}: {held}}}"
        hint = f"write `{mapped}`, or take `{usual[0]}` out of it: `{held}` needs no mapping"
        raise DataError(error.what, hint=hint) from error


def _turns(row: Mapping[str, Any], reading: Reading) -> Sequence[Mapping[str, Any]]:
    name = next((name for name in reading.messages if row.get(name) is not None), None)
    if name is None:
        raise _no_turns(row, reading)
    turns = turn_objects(row, name, (reading.role[0], reading.content[0], "user"))
    if not turns:
        raise DataError(f"'{name}' has no turns", hint="take the row out, or add what is missing")
    return turns


def _no_turns(row: Mapping[str, Any], reading: Reading) -> DataError:
    null = next((name for name in reading.messages if name in row), reading.messages[0])
    error = missing_field(row, null, "a list of turns")
    lists = [
        name
        for name, value in row.items()
        if isinstance(value, list) and value and isinstance(value[0], Mapping)
    ]
    if lists and null not in row:
        return DataError(error.what, hint=f"if it is the turns, write `field_messages: {lists[0]}`")
    fitting = [kind for kind in fitting_types(row) if kind != "chat_template"]
    if fitting and null not in row:
        return DataError(error.what, hint=f"the row fits `type: {fitting[0]}`")
    return error


def _unknown_role(
    said: str, number: int, turns: Sequence[Mapping[str, Any]], reading: Reading
) -> DataError:
    meant: dict[str, list[str]] = {}
    for turn in turns:
        role = next((turn[key] for key in reading.role if turn.get(key) is not None), None)
        if isinstance(role, str) and role not in reading.roles:
            named = meant.setdefault(_meant(role, reading), [])
            named += [role] if role not in named else []
    roles = ", ".join(f"{target}: [{', '.join(names)}]" for target, names in meant.items())
    known = ", ".join(reading.roles)
    return DataError(
        f"turn {number} is from '{said}', which is no role that is known (known: {known})",
        hint=f"say in the data set's entry who that is, such as `roles: {{{roles}}}`",
    )


def _meant(role: str, reading: Reading) -> str:
    """Who a name that is not known may be."""
    lower = role.lower()
    close = nearest(lower, reading.roles)
    meant = reading.roles.get(lower) or _MEANT.get(lower)
    return meant or (reading.roles[close] if close else "user")


def _content(turn: Mapping[str, Any], number: int, reading: Reading) -> Content:
    for key in reading.content:
        value = turn.get(key)
        if isinstance(value, str):
            found = Content(value)
            break
        if isinstance(value, list):
            found = content_of_parts(cast("list[Any]", value), number, key)
            break
    else:
        silent = all(turn.get(key) is None for key in reading.content)
        calls = _get(turn, "tool_calls", reading) or _get(turn, "function_call", reading)
        if silent and (calls or turn.get(reading.thinking[0])):
            found = Content(None)
        else:
            paired = turn.get(reading.role[0]) is not None  # `value` goes with `from`
            keys = reading.content if paired else reading.content[::-1]
            found = Content(_text_of(turn, number, keys, _CONTENT_KEYS))
    detail = turn.get(reading.detail) if reading.detail else None
    if detail is not None:
        if found.parts:
            raise DataError(
                f"turn {number} has parts that say what is trained, and '{reading.detail}' as well",
                hint="keep one of the two",
            )
        parts = details_of(detail, found.text or "", number, str(reading.detail))
        found = found._replace(parts=parts)
    return split_thought(found, number) if reading.split_thinking else found


def _message(
    turn: Mapping[str, Any], number: int, role: str, content: Content, reading: Reading
) -> dict[str, Any]:
    message: dict[str, Any] = {"role": role, "content": content.text}
    if len(turn) > 2 or content.text is None:
        taken = {
            next((key for key in reading.role if turn.get(key) is not None), None),
            next((key for key in reading.content if key in turn), None),
            *(reading.training, reading.detail, reading.thinking[0]),
        }
        for key, value in turn.items():
            if key not in taken and value is not None:
                message[reading.names.get(key, key)] = plain(value)
        thought = turn.get(reading.thinking[0])
        if thought is not None:
            if not isinstance(thought, str):
                raise DataError(
                    f"'{reading.thinking[0]}' of turn {number} is {kind_of(thought)}, not text",
                    hint="write the reasoning as text in quotes",
                )
            message[reading.thinking[1]] = thought
    if content.thought is not None:
        message[reading.thinking[1]] = content.thought
    calls = [*calls_of(message.get("tool_calls"), number), *content.calls]
    if "function_call" in message:
        calls.append(older_call_of(message.pop("function_call"), number, others=bool(calls)))
    if calls:
        message["tool_calls"] = [call_of(call, number) for call in calls]
    elif "tool_calls" in message:
        del message["tool_calls"]
    return _aliased(message) if len(message) > 2 else message


def _aliased(message: dict[str, Any]) -> dict[str, Any]:
    """The reasoning under each name that templates know it by, as transformers has it."""
    thought = next((message[key] for key in REASONING if message.get(key) is not None), None)
    if thought is None:
        return message
    return {"thinking": thought, **message, "reasoning_content": thought}


def _trained(turn: Mapping[str, Any], number: int, role: str, reading: Reading) -> bool:
    said = turn.get(reading.training) if reading.training else None
    if said is None:
        return role in reading.trained
    if said not in (True, False):  # 1 and 0 are these
        raise DataError(
            f"'{reading.training}' of turn {number} is {kind_of(said)}, not true or false",
            hint="write true or false, or leave it out",
        )
    return bool(said)


def _get(turn: Mapping[str, Any], name: str, reading: Reading) -> Any:
    """What the template finds under a name."""
    return next(
        (turn[key] for key, told in reading.names.items() if told == name and key in turn),
        turn.get(name),
    )
