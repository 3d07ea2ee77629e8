"""From a rendered conversation to segments: which characters of it are trained."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from axolotl.records import Segment
from axolotl.templates.places import Rendered, Span
from axolotl.templates.shape import Shape

Ends = Literal["turn", "all", "last", "none"]


class Told(NamedTuple):
    """What is to be trained of a turn.

    Args:
        role: Whose turn it is.
        trained: Whether it is trained.
        parts: Parts of the rendered text with their own answer to that.
    """

    role: str
    trained: bool
    parts: Sequence[tuple[int, int, bool]] = ()


class EndRules(NamedTuple):
    """Tokens that end a turn, and which of them are trained.

    Args:
        rules: Token → which.
        eos: The end token of the tokenizer among them.
        pattern: Finds those that end an answer.
        everywhere: Whether some are trained wherever they stand, or where they stand last.
    """

    rules: Mapping[str, Ends]
    eos: str | None
    pattern: re.Pattern[str]
    everywhere: bool

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
        return cls({**(others or {}), **rules}, eos, pattern, everywhere)


def chat_segments(
    said: Rendered, turns: Sequence[Told], shape: Shape, ends: EndRules
) -> list[Segment]:
    """The segments of a conversation: one text, cut where training begins and ends.

    Args:
        said: Its text and where its turns stand.
        turns: What is to be trained of each.
        shape: What the template puts around a turn.
        ends: What ends a turn.
    """
    text = said.text
    trained: list[Span] = []
    last = max((n for n, span in enumerate(said.spans) if span), default=-1)
    for number, (turn, span) in enumerate(zip(turns, said.spans, strict=True)):
        if span is None or not (turn.trained or turn.parts):
            continue
        marks = turn_ends(text, span, ends, final=number == last)
        begin = shape.head(turn.role, text, span)
        stop = max(begin, marks[0][0]) if marks else span[1]
        through = turn.trained
        if turn.parts:
            through = _train_parts(trained, turn, text, (begin, stop))
        else:
            trained.append((begin, stop))
        if through:
            trained += [(a, b) for a, b in marks if ends.rules[text[a:b]] == "turn"]
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
    while True:
        while stop > begin and text[stop - 1].isspace():
            stop -= 1
        for token in ends.rules:
            if text.endswith(token, begin, stop):
                break
        else:
            break
        stop -= len(token)
        found.append((stop, stop + len(token)))
    found.reverse()
    at = span[1]
    while final or not found:
        while at < len(text) and text[at].isspace():
            at += 1
        match = ends.pattern.match(text, at)
        if match is None:
            break
        found.append(match.span())
        at = match.end()
    return found


def _train_parts(trained: list[Span], turn: Told, text: str, span: Span) -> bool:
    """Add what is trained of a turn with parts of its own; whether its end is, too."""
    at, stop = span
    last = turn.trained
    for begin, end, train in turn.parts:
        if turn.trained and at < begin:
            trained.append((at, begin))
        if train:
            trained.append((begin, end))
        at, last = max(at, end), train
    if turn.trained and at < stop:
        trained.append((at, stop))
    return turn.trained if text[at:stop].strip() else last


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
            segments.append(Segment(text[at:begin], False, joined=at > 0))
        segments.append(Segment(text[begin:end], True, joined=begin > 0))
        at = end
    if at < len(text) or not segments:
        segments.append(Segment(text[at:], False, joined=at > 0))
    return segments


def _joined(spans: list[Span]) -> list[Span]:
    """Spans in order, without empty ones; those that touch are one."""
    joined: list[Span] = []
    for begin, end in sorted(spans):
        if joined and begin <= joined[-1][1]:
            if end > joined[-1][1]:
                joined[-1] = (joined[-1][0], end)
        elif begin < end:
            joined.append((begin, end))
    return joined
