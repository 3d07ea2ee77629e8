"""What a chat template was given and did not write, or wrote otherwise."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from axolotl.formats._messages import REASONING, Chat
from axolotl.templates.places import Rendered
from axolotl.templates.shape import Shape

LEFT_OUT = "the template leaves out {}"
CHANGED = "the template leaves out or changes the text of {} turns"
_THOUGHT = re.compile(r"<think>(.*?)</think>", re.DOTALL)
_LINE = re.compile(r'[^\n"\\]+')
"""What of a text is the same in JSON."""


def left_out(chat: Chat, said: Rendered, shape: Shape, thinking: str) -> list[str]:
    """What there is to say of what a conversation has and its text has not.

    Args:
        chat: The conversation.
        said: Its text and where its turns stand.
        shape: What the template puts around a turn.
        thinking: What the template calls the reasoning.
    """
    found = [CHANGED.format(role) for role in _changed(chat, said, shape)]
    if chat.plain and not _may_think(chat):
        return found
    if not _calls_stand(chat, said):
        found.append(LEFT_OUT.format("tool calls"))
    if chat.tools and not _tools_stand(chat.tools, chat, said):
        found.append(LEFT_OUT.format("the tools"))
    if _last_thought(chat, thinking) not in said.text:  # some write that of the last turn alone
        found.append(LEFT_OUT.format("reasoning"))
    return found


def _may_think(chat: Chat) -> bool:
    """Whether an answer may have reasoning in what it says."""
    for message in chat.messages:  # noqa: SIM110  for speed
        if "</think>" in message["content"]:
            return True
    return False


def _changed(chat: Chat, said: Rendered, shape: Shape) -> list[str]:
    """Roles of which a turn says what does not stand in its place."""
    text, roles = said.text, list[str]()
    for message, span in zip(chat.messages, said.spans, strict=True):
        content, role = message["content"], message["role"]
        if not content:
            continue
        if span is not None:  # mostly it stands right behind the head: looked at without a search
            heads = shape.heads.get(role)
            if heads and text.startswith(content, span[0] + len(heads[0]), span[1]):
                continue
        # a system text may stand anywhere
        begin, end = span if span is not None and role != "system" else (0, len(text))
        if text.find(content, begin, end) < 0 and role not in roles:
            place = text[begin:end]
            if not all(_stands(part, place) for part in _spoken(content, role)):
                roles.append(role)
    return roles


def _spoken(content: str, role: str) -> Iterable[str]:
    """What is said aloud; a template may leave out the reasoning of an answer."""
    if role != "assistant" or "</think>" not in content:
        return (content,)
    if "<think>" in content:
        return _THOUGHT.sub("\0", content).split("\0")
    return (content.rpartition("</think>")[2],)


def _stands(part: str, place: str) -> bool:
    """Whether a text stands in a place, as it is or as JSON."""
    part = part.strip()
    return part in place or any(
        json.dumps(part, ensure_ascii=ascii_only)[1:-1] in place for ascii_only in (False, True)
    )


def _calls_stand(chat: Chat, said: Rendered) -> bool:
    for message, span in zip(chat.messages, said.spans, strict=True):
        place = said.text[slice(*span)] if span else said.text
        for name, _ in _functions(message.get("tool_calls", ())):
            if name not in place:
                return False
    return True


def _tools_stand(tools: Sequence[Any], chat: Chat, said: Rendered) -> bool:
    """Whether tools are described; that they are called or answer does not count."""
    pieces: list[str] = []
    at = 0
    for message, span in zip(chat.messages, said.spans, strict=True):
        if span and message["role"] in ("assistant", "tool"):
            pieces.append(said.text[at : span[0]])
            at = span[1]
    outside = "\0".join([*pieces, said.text[at:]])
    for name, description in _functions(tools):
        line = _LINE.search(description)
        if name not in outside or (line and line[0].strip() not in outside):
            return False
    return True


def _functions(functions: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Name and description of functions; empty for none."""
    for one in functions:
        held = one.get("function", one)
        function = cast("Mapping[str, Any]", held if isinstance(held, Mapping) else {})
        name, description = function.get("name"), function.get("description")
        if isinstance(name, str):
            yield name, description if isinstance(description, str) else ""


def _last_thought(chat: Chat, thinking: str) -> str:
    for message in reversed(chat.messages):
        for key in (*REASONING, thinking):
            if isinstance(thought := message.get(key), str) and thought.strip():
                return thought.strip()
        if message["role"] == "assistant" and (found := _THOUGHT.search(message["content"] or "")):
            return found[1].strip()
    return ""
