"""What a chat template puts around the text of a turn: found by asking it, once for each template."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from axolotl.errors import ConfigError, DataError
from axolotl.templates.places import UNFOLLOWED, Message, Rendered, Span
from axolotl.templates.render import ChatTemplate, common_start

_TOKEN_LIKE = re.compile(r"<[^<>\s]+>|\[\|\w+\|\]")
"""What looks like the text of a token."""
_PIECE = re.compile(r"<[^<>\s]+>|\[[^\[\]\s]+\]|\w+|\s+|.")
"""What of a text is not cut in two."""
_MOST_SHOWN = 60
_WORDS = ("Wombat", "Quokka", "Numbat", "Bilby")
_TALK: tuple[Message, ...] = tuple(
    {"role": role, "content": text}
    for role, text in zip(("user", "assistant") * 2, _WORDS, strict=True)
)
_SYSTEM: Message = {"role": "system", "content": "Echidna"}
_FUNCTION = {"name": "look_up", "description": "Looks up.", "parameters": {"type": "object"}}
_TOOLS = ({"type": "function", "function": _FUNCTION},)
_CALL = {"name": "look_up", "arguments": {"place": "Hobart"}}
_CALLS = [{"id": "call00001", "type": "function", "function": _CALL}]
_RESULT: Message = {
    "role": "tool",
    "content": "Dingo",
    "tool_call_id": "call00001",
    "name": "look_up",
}


@dataclass(frozen=True)
class Shape:
    """What a chat template puts around the text of a turn.

    Args:
        heads: What may stand in front of it, by role; an answer's is what asks the model for one.
        ends: What ends an answer.
        unended: Whether some answers have no such end.
        other_ends: What ends a turn of the user.
        added: The system text that it writes where a conversation has none, or its beginning.
    """

    heads: Mapping[str, tuple[str, ...]]
    ends: tuple[str, ...]
    unended: bool = False
    other_ends: tuple[str, ...] = ()
    added: str = ""

    def head(self, role: str, text: str, span: Span) -> int:
        """Where what stands in front of what a turn says ends.

        A space at its end goes with the word behind it, as it does in most tokens.

        Args:
            role: Whose turn it is.
            text: The whole text.
            span: Where the turn stands.
        """
        begin, stop = span
        end = begin
        for head in self.heads.get(role, ()):
            if begin + len(head) <= end:
                continue
            if text.startswith(head, begin, stop):
                end = begin + len(head)
            else:
                common = _common_words(text[begin : min(stop, begin + len(head))], head)
                end = max(end, begin + common)
        while end > begin and text[end - 1] == " ":
            end -= 1
        return end


def _common_words(turn: str, head: str) -> int:
    """How many characters a turn has in common with a head, up to the end of a word of that."""
    common = common_start(turn, head)
    return max((m.end() for m in _PIECE.finditer(head) if m.end() <= common), default=0)


def shape_of(
    template: ChatTemplate,
    variables: Mapping[str, Any],
    *,
    tokens: Iterable[str] = (),
    ends: Sequence[str] = (),
    roles: Iterable[str] = (),
) -> Shape:
    """Ask a template how it writes conversations.

    Args:
        template: The template.
        variables: What it may read besides.
        tokens: The texts that are one token each.
        ends: The tokens that end a turn, as far as they are known.
        roles: Roles that rows may have besides system, user, assistant and tool.

    Raises:
        ConfigError: it writes no plain conversation, or cannot be followed.
    """
    lead, said = _plain_talk(template, variables)
    answers = [len(lead) + number for number in (1, 3)]
    known = tuple(sorted({*tokens, *ends} - {""}, key=len, reverse=True))
    found: list[str] = []
    unended = False
    for number in answers:
        _, end = _said(said, number, _WORDS[number - len(lead)])
        span = said.spans[number]
        assert span is not None, "it was followed"
        last = number == answers[-1]
        behind = said.text[end:] if last else said.text[end : span[1]]
        mark = _end_mark(behind, known)
        if mark:
            found.append(mark)
        elif behind.rstrip().endswith(known) or any(token in behind for token in ends):
            pass  # something stands before the end
        elif last or not said.text[span[1] :].lstrip().startswith(tuple(ends) or ("\0",)):
            unended = True
    heads = {"user": tuple(_before(said, len(lead) + n, _WORDS[n]) for n in (0, 2))}
    heads["assistant"] = _answer_heads(template, variables, lead, said)
    heads |= _other_heads(template, variables, lead, roles)
    found += _end_of_calls(template, variables, lead, known)
    other = _end_of_questions(said, len(lead), known)
    added = "" if lead else _added(said, heads["user"], str(variables.get("bos_token") or ""))
    heads = {role: tuple(dict.fromkeys(some)) for role, some in heads.items()}
    return Shape(heads, tuple(dict.fromkeys(found)), unended, other, added)


def _plain_talk(
    template: ChatTemplate, variables: Mapping[str, Any]
) -> tuple[tuple[Message, ...], Rendered]:
    """A conversation that the template takes: what stands in front of it, and its text."""
    refused: DataError | None = None
    for lead in ((), (_SYSTEM,)):
        try:
            said = template.place_by_marks([*lead, *_TALK], variables)
            if said is None or any(_find(said, len(lead) + n, _WORDS[n]) is None for n in (1, 3)):
                template.follow_turn_by_turn()
                said = template.place([*lead, *_TALK], variables)
        except DataError as error:
            refused = refused or error
            continue
        return lead, said
    assert refused is not None, "it was tried"
    raise ConfigError(
        "chat_template",
        f"the chat template takes no plain conversation: {refused.what}",
        hint="choose another chat_template, or mend chat_template_jinja",
    ) from refused


def _find(said: Rendered, number: int, text: str) -> tuple[int, int] | None:
    span = said.spans[number]
    at = said.text.find(text, *span) if span else -1
    return None if at < 0 else (at, at + len(text))


def _said(said: Rendered, number: int, text: str) -> tuple[int, int]:
    found = _find(said, number, text)
    if found is None:
        raise ConfigError(
            "chat_template",
            UNFOLLOWED if text in said.text else "the chat template leaves out what is said",
            hint="it may be one for content in parts, with images; choose another chat_template",
        )
    return found


def _before(said: Rendered, number: int, text: str) -> str:
    found, span = _find(said, number, text), said.spans[number]
    return said.text[span[0] : found[0]] if found and span else ""


def _end_mark(behind: str, known: Sequence[str]) -> str | None:
    """The token, or what looks like one, that stands first behind the text of an answer."""
    behind = behind.lstrip()
    for token in known:
        if behind.startswith(token):
            return token
    match = _TOKEN_LIKE.match(behind)
    return match[0] if match else None


def _answer_heads(
    template: ChatTemplate,
    variables: Mapping[str, Any],
    lead: Sequence[Message],
    said: Rendered,
) -> tuple[str, ...]:
    """What asks for an answer; where the template has no such text, what it puts in front of one."""
    after_call = ({"role": "assistant", "content": None, "tool_calls": _CALLS}, _RESULT)
    asked = [([*lead, *_TALK[:3]], None)]
    asked += [([*lead, _TALK[0], *after_call], tools) for tools in (_TOOLS, None)]
    heads: list[str] = []
    for messages, tools in asked:
        try:
            whole = template.place(messages, variables, tools=tools, prompt=True)
            plain = template.render(messages, variables, tools=tools)
        except DataError:  # it has no form for tools
            continue
        last = whole.spans[-1]
        if whole.text.startswith(plain):
            heads.append(whole.text[len(plain) :])
        elif last:  # an end token may stand in its place
            heads.append(whole.text[last[1] :])
    span = said.spans[len(lead) + 3]
    assert span is not None, "it was followed"
    if any(_common_words(said.text[slice(*span)], head) for head in heads):
        return tuple(dict.fromkeys(heads))
    return tuple(_before(said, len(lead) + n, _WORDS[n]) for n in (1, 3))


def _added(said: Rendered, heads: tuple[str, ...], bos: str) -> str:
    """The system text that stands before the first question, cut; `heads` are those of questions."""
    found = _find(said, 0, _WORDS[0])
    before = said.text[: found[0]].removesuffix(heads[-1]) if found else ""
    words = " ".join(_TOKEN_LIKE.sub(" ", before.replace(bos, "") if bos else before).split())
    words = re.sub(r"^system\W+", "", words)
    if not re.search(r"\w+\W+\w", words):
        return ""
    return words if len(words) <= _MOST_SHOWN else words[:_MOST_SHOWN].rstrip() + "…"


def _other_heads(
    template: ChatTemplate,
    variables: Mapping[str, Any],
    lead: Sequence[Message],
    roles: Iterable[str],
) -> dict[str, tuple[str, ...]]:
    heads: dict[str, tuple[str, ...]] = {}
    calling: Message = {"role": "assistant", "content": None, "tool_calls": _CALLS}
    for role, messages in (
        ("system", [_SYSTEM, *_TALK]),
        ("tool", [*lead, _TALK[0], calling, _RESULT, _TALK[3]]),
        *((role, [*lead, *_TALK[:2], {"role": role, "content": _WORDS[2]}]) for role in roles),
        *((role, [*lead, _TALK[0], {"role": role, "content": _WORDS[2]}]) for role in roles),
    ):
        if role in heads:
            continue
        number = next(n for n, one in enumerate(messages) if one["role"] == role)
        try:
            said = template.place(messages, variables)
        except DataError:  # it has no form for such turns
            continue
        heads[role] = (_before(said, number, messages[number]["content"]),)
    return heads


def _end_of_questions(said: Rendered, lead: int, known: Sequence[str]) -> tuple[str, ...]:
    span, found = said.spans[lead + 2], _find(said, lead + 2, _WORDS[2])
    mark = _end_mark(said.text[found[1] : span[1]], known) if span and found else None
    return (mark,) if mark else ()


def _end_of_calls(
    template: ChatTemplate,
    variables: Mapping[str, Any],
    lead: Sequence[Message],
    known: Sequence[str],
) -> list[str]:
    """The token that ends an answer which calls a tool; some models have one of its own."""
    calling: Message = {"role": "assistant", "content": None, "tool_calls": _CALLS}
    for tools in (_TOOLS, None):
        try:
            said = template.place([*lead, _TALK[0], calling], variables, tools=tools)
        except DataError:  # it has no form for tools
            continue
        span = said.spans[-1]
        turn = said.text[slice(*span)].rstrip() if span else ""
        return [token for token in known if turn.endswith(token)][:1]
    return []
