"""What a turn says, where it is written in parts or with its reasoning in it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from axolotl.errors import DataError
from axolotl.formats._details import Part
from axolotl.formats._fields import kind_of

_BEGIN, _END = "<think>", "</think>"
_TEXTS = ("text", "value", "content")
_KINDS = {"text": "text", "reasoning": "thought", "thinking": "thought", "tool_call": "call"}


class Content(NamedTuple):
    """What a turn says.

    Args:
        text: The text; None for none, beside calls of tools.
        parts: Parts of it that say themselves whether they are trained.
        thought: The reasoning; None for none.
        calls: Calls of tools.
    """

    text: str | None
    parts: Sequence[Part] = ()
    thought: str | None = None
    calls: Sequence[Any] = ()


def content_of_parts(written: Sequence[object], number: int, key: str) -> Content:
    """The content of a turn that is a list of parts, joined.

    Args:
        written: The parts.
        number: Number of the turn, for messages.
        key: Key that they stand under, for messages.

    Raises:
        DataError: one is of an unknown kind or has no text.

    >>> content_of_parts([{"type": "text", "text": "a"}, {"type": "text", "value": "b"}], 1, "c").text
    'ab'
    """
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[Any] = []
    parts: list[Part] = []
    at = 0
    for part in written:
        kind, value, train = _part(part, number, key)
        if kind == "thought":
            thoughts.append(value)
        elif kind == "call":
            calls.append(_call(value, number))
        else:
            texts.append(value)
            if train is not None and value:
                parts.append(Part(at, at + len(value), train))
            at += len(value)
    text = "".join(texts) if texts or not calls else None
    return Content(text, parts, "".join(thoughts) if thoughts else None, calls)


def _part(part: object, number: int, key: str) -> tuple[str, Any, bool | None]:
    if isinstance(part, str):
        return "text", part, None
    if not isinstance(part, Mapping):
        raise DataError(
            f"'{key}' of turn {number} has {kind_of(part)} in it, which is no part",
            hint='write each part as {"type": "text", "text": "…"}',
        )
    given = cast("Mapping[str, Any]", part)
    kind = _KINDS.get(given.get("type", "text"))
    if kind is None:
        raise DataError(
            f"'{key}' of turn {number} has a part of type {kind_of(given['type'])}",
            hint=f"parts may be of type {', '.join(_KINDS)}; take the row out, or that part",
        )
    value: Any = next((given[name] for name in _TEXTS if given.get(name) is not None), None)
    if not isinstance(value, str) and (kind != "call" or not isinstance(value, Mapping)):
        raise DataError(
            f"'{key}' of turn {number} has a part of type '{given.get('type', 'text')}' without text",
            hint='write it as {"type": "text", "text": "…"}',
        )
    train = given.get("train")
    if train is not None and (not isinstance(train, bool) or kind != "text"):
        raise DataError(
            f"'train' of a part of turn {number} is {kind_of(train)}; only a part with text has it, "
            "as true or false",
            hint="write true or false, or leave it out",
        )
    return kind, cast("Any", value), train


def _call(value: object, number: int) -> Mapping[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"a tool call of turn {number} is text and no JSON: {str(value)[:40]}",
                hint='write it as {"name": "…", "arguments": {}}',
            ) from error
    if not isinstance(value, Mapping):
        raise DataError(
            f"a tool call of turn {number} is {kind_of(value)}, not an object",
            hint='write it as {"name": "…", "arguments": {}}',
        )
    call = cast("Mapping[str, Any]", value)
    return call if "function" in call else {"type": "function", "function": call}


def split_thought(content: Content, number: int) -> Content:
    """The content with the reasoning at its beginning, between <think> and </think>, apart.

    Args:
        content: What the turn says.
        number: Number of the turn, for messages.

    Raises:
        DataError: what is said of its characters reaches into the reasoning.

    >>> split_thought(Content("<think>Why?</think>So."), 1)[::2]
    ('So.', 'Why?')
    """
    text = content.text or ""
    begin = len(text) - len(text.lstrip())
    end = text.find(_END, begin)
    if content.thought is not None or end < 0 or not text.startswith(_BEGIN, begin):
        return content
    thought = text[begin + len(_BEGIN) : end].strip()
    rest = text[end + len(_END) :].lstrip()
    cut = len(text) - len(rest)
    if any(part.begin < cut for part in content.parts):
        raise DataError(
            f"what is said of the characters of turn {number} reaches into its reasoning, which "
            "split_thinking takes out",
            hint="leave the reasoning out of it, or take split_thinking out",
        )
    parts = [Part(part.begin - cut, part.end - cut, part.train) for part in content.parts]
    return content._replace(text=rest, parts=parts, thought=thought)
