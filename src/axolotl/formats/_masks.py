"""From a rendered conversation to segments: which characters of it are trained."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from axolotl.formats._details import Part
from axolotl.formats._messages import Chat
from axolotl.records import Segment
from axolotl.templates.places import Rendered, Span
from axolotl.templates.shape import Shape

Ends = Literal["turn", "all", "last", "none"]


class EndRules(NamedTuple):
    """Tokens that end a turn, and which of them are trained.

    Args:
        rules: Token → which.
        eos: The end token of the tokenizer among them.
        pattern: Finds those that end an answer.
        everywhere: Whether some are trained wherever they stand, or where they stand last.
        tokens: All of them.
    """

    rules: Mapping[str, Ends]
    eos: str | None
    pattern: re.Pattern[str]
    everywhere: bool
    tokens: tuple[str, ...]

    @classmethod
    def of(
        cls, rules: Mapping[str, Ends], eos: str | None, *, others: Mapping[str, Ends] | None = None
    ) -> EndRules:
        """The rules for some tokens.

        Args:
            rules: Token that ends an answer → which are trained.
            eos: The end token of the tokenizer.
            others: The same for those that end other turns; they are trained with their turn alone.
        """
        pattern = re.compile(
            "|".join(map(re.escape, sorted(rules, key=len, reverse=True))) or r"(?!)"
        )
        everywhere = any(rule in ("all", "last") for rule in rules.values())
        known: dict[str, Ends] = {**(others or {}), **rules}
        return cls(known, eos, pattern, everywhere, tuple(known))


def chat_segments(
    chat: Chat,
    said: Rendered,
    shape: Shape,
    ends: EndRules,
    *,
    parts: Mapping[int, Sequence[Part]] | None = None,
) -> list[Segment]:
    """The segments of a conversation: one text, cut where training begins and ends.

    Args:
        chat: The conversation.
        said: Its text and where its turns stand.
        shape: What the template puts around a turn.
        ends: What ends a turn.
        parts: Number of a turn → parts of the text with their own answer to whether they are trained.
    """
    text, spans = said
    parts = parts or {}
    trained: list[Span] = []
    last = len(spans) - 1
    while last >= 0 and spans[last] is None:
        last -= 1
    folded = _folded(chat, said) if None in spans else None
    for number, (span, through) in enumerate(zip(spans, chat.trained, strict=True)):
        own = parts.get(number)
        if span is None or not (through or own):
            continue
        message = chat.messages[number]
        marks = turn_ends(text, span, ends, final=number == last)
        begin = shape.head(message["role"], text, span)
        stop = marks[0][0] if marks else span[1]
        if message["role"] != "assistant":
            begin = _own_begin(text, (begin, stop), message, folded)
        elif folded and not any(spans[:number]):
            begin = _behind(text, (begin, stop), folded)
        stop = max(begin, stop)
        if own:
            _train_parts(trained, own, (begin, stop), through=through)
            through = through or any(part.train for part in own)
        else:
            trained.append((begin, stop))
        if through:
            for mark in marks:
                if ends.rules[text[mark[0] : mark[1]]] == "turn":
                    trained.append(mark)
    if ends.everywhere:
        trained += _everywhere(text, ends)
    return _cut(text, trained)


def turn_ends(text: str, span: Span, ends: EndRules, *, final: bool) -> list[Span]:
    """Where the tokens stand that end a turn, with nothing but blanks between them.

    Args:
        text: The whole text.
        span: Where the turn stands.
        ends: What ends a turn.
        final: Whether it is the last turn; what follows belongs to it then.
    """
    begin, stop = span
    found: list[Span] = []
    turn = text[begin:stop].rstrip()
    while turn.endswith(ends.tokens):
        for token in ends.tokens:
            if turn.endswith(token):
                stop = begin + len(turn)
                found.append((stop - len(token), stop))
                turn = turn[: -len(token)].rstrip()
                break
    found.reverse()
    at = span[1]
    while (final or not found) and at < len(text):
        while at < len(text) and text[at].isspace():
            at += 1
        match = ends.pattern.match(text, at)
        if match is None:
            break
        found.append(match.span())
        at = match.end()
    return found


def _folded(chat: Chat, said: Rendered) -> str | None:
    """What a system turn says that has no place of its own and does not stand before all others."""
    first = next((span[0] for span in said.spans if span), 0)
    for message, span in zip(chat.messages, said.spans, strict=True):
        if span is None and message["role"] == "system":
            system = (message["content"] or "").strip()
            if system and said.text.find(system, 0, first) < 0:
                return system
    return None


def _behind(text: str, span: Span, system: str) -> int:
    """Where a turn goes on behind a system text; its begin where there is none in it."""
    begin, stop = span
    at = text.find(system, begin, stop)
    if at < 0:
        return begin
    at += len(system)
    return stop - len(text[at:stop].lstrip())


def _own_begin(text: str, span: Span, message: Mapping[str, Any], system: str | None) -> int:
    """Where what a turn says begins, behind a system text or tools that the template put before it.

    A space in front goes with it, as it does in most tokens.

    Args:
        text: The whole text.
        span: Where the turn stands, without its head and its end.
        message: The turn.
        system: System text that may stand in it.
    """
    begin, stop = span
    content = (message["content"] or "").strip()
    if not content:
        return begin
    at = text.find(content, _behind(text, span, system), stop) if system else -1
    if at < 0:
        at = text.find(content, begin, stop)
    while at > begin and text[at - 1] == " ":
        at -= 1
    return max(begin, at)


def _train_parts(trained: list[Span], parts: Sequence[Part], span: Span, *, through: bool) -> None:
    """Add what is trained of a turn with parts of its own."""
    at, stop = span
    for begin, end, train in parts:
        if through and at < begin:
            trained.append((at, begin))
        if train:
            trained.append((begin, end))
        at = max(at, end)
    if through and at < stop:
        trained.append((at, stop))


def _everywhere(text: str, ends: EndRules) -> list[Span]:
    found: list[Span] = []
    last: dict[bool, Span] = {}
    for match in ends.pattern.finditer(text):
        rule = ends.rules[match[0]]
        if rule == "all":
            found.append(match.span())
        elif rule == "last":
            last[match[0] == ends.eos] = match.span()
    return [*found, *last.values()]


def _cut(text: str, trained: list[Span]) -> list[Segment]:
    """The text in pieces: what lies in one of the spans is trained, and what does not is not."""
    segments: list[Segment] = []
    at = 0
    for begin, end in _joined(trained):
        if at < begin:
            segments.append(Segment(text[at:begin], False, False, 0, at > 0))
        segments.append(Segment(text[begin:end], True, False, 0, begin > 0))
        at = end
    if at < len(text) or not segments:
        segments.append(Segment(text[at:], False, False, 0, at > 0))
    return segments


def _joined(spans: list[Span]) -> list[Span]:
    """Spans in order, without empty ones; those that touch are one."""
    joined: list[Span] = []
    last = -1
    for begin, end in sorted(spans):
        if begin <= last:
            if end > last:
                joined[-1] = (joined[-1][0], end)
                last = end
        elif begin < end:
            joined.append((begin, end))
            last = end
    return joined
