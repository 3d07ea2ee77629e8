"""Where each key and value of a YAML text begins and ends, for changes that leave the rest alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
    StreamStartEvent,
)

BREAK = re.compile(r"\r\n|[\r\n\x85\u2028\u2029]")
"""A line end, as YAML has them."""


@dataclass(slots=True)
class Span:
    """A value, or a key, in the text.

    Args:
        kind: What it is; an alias is a mere reference to a value elsewhere.
        start: Index of its first character, an anchor included.
        end: Index behind its last character. Comments and blank lines behind it are not part of it.
        flow: Whether it is a mapping or list in brackets.
        entries: The keys of a mapping.
        items: The values of a list.
    """

    kind: Literal["scalar", "map", "row", "alias"]
    start: int
    end: int
    flow: bool = False
    entries: list[Entry] = field(default_factory=list["Entry"])
    items: list[Span] = field(default_factory=list["Span"])

    @property
    def is_block(self) -> bool:
        """Whether it is a mapping or list over lines of its own, without brackets."""
        return self.kind in ("map", "row") and not self.flow

    def find(self, part: str) -> int | None:
        """Number of the entry or item that a part of a dotted path names."""
        if self.kind == "map":
            return next((i for i, entry in enumerate(self.entries) if entry.name == part), None)
        if self.kind == "row" and part.isdecimal() and int(part) < len(self.items):
            return int(part)
        return None

    def value(self, number: int) -> Span:
        """The value of an entry or item."""
        return self.entries[number].value if self.kind == "map" else self.items[number]


@dataclass(slots=True)
class Entry:
    """A key with its value.

    Args:
        name: The key; None if it is no text.
        key: Where it stands.
        colon: Index behind its colon; None where the two are not written as `key: value`.
        value: Where the value stands; where there is none, an empty place.
    """

    name: str | None
    key: Span
    colon: int | None
    value: Span

    @property
    def end(self) -> int:
        """Index behind the last character of key and value."""
        if self.value.start < self.value.end:
            return self.value.end
        return self.colon or self.key.end


def read_spans(text: str) -> Span:
    """Read the only document of a text.

    Args:
        text: YAML that is known to be readable.
    """
    parse = cast("Any", yaml).parse  # its stub leaves types out
    events: Iterator[Event] = parse(text, Loader=yaml.BaseLoader)
    reader = _Reader(text, events)
    skipped = (StreamStartEvent, DocumentStartEvent)
    event = next(event for event in events if not isinstance(event, skipped))
    if isinstance(event, StreamEndEvent):
        return Span("scalar", 0, 0)
    return reader.span(event)


@dataclass
class _Reader:
    text: str
    events: Iterator[Event]

    def span(self, event: Event) -> Span:
        start, end = _start(event), _end(event)
        if isinstance(event, AliasEvent):
            return Span("alias", start, end)
        if isinstance(event, ScalarEvent):
            if cast("Any", event).style in ("|", ">"):
                end = self.without_blank_lines(start, end)
            return Span("scalar", start, end)
        flow = bool(cast("Any", event).flow_style)
        if isinstance(event, MappingStartEvent):
            return self.map(Span("map", start, end, flow))
        return self.row(Span("row", start, end, flow))

    def map(self, span: Span) -> Span:
        while not isinstance(event := next(self.events), MappingEndEvent):
            key = self.span(event)
            name = str(cast("Any", event).value) if isinstance(event, ScalarEvent) else None
            value = self.span(next(self.events))
            span.entries.append(Entry(name, key, self.colon(key), value))
        span.end = _end(event) if span.flow else span.entries[-1].end
        return span

    def row(self, span: Span) -> Span:
        while not isinstance(event := next(self.events), SequenceEndEvent):
            span.items.append(self.span(event))
        span.end = _end(event) if span.flow else span.items[-1].end
        return span

    def colon(self, key: Span) -> int | None:
        """Index behind the colon of `key: …`; None for `? key`, where it stands on another line."""
        found = re.compile(r"[ \t]*:").match(self.text, key.end)
        return found.end() if found else None

    def without_blank_lines(self, start: int, end: int) -> int:
        """The end of the last line with text in it of a value over several lines."""
        return start + len(
            re.sub(r"(?:[ \t]*(?:\r\n|[\r\n\x85\u2028\u2029]))+[ \t]*\Z", "", self.text[start:end])
        )


def _start(event: Event) -> int:
    return int(cast("Any", event).start_mark.index)


def _end(event: Event) -> int:
    return int(cast("Any", event).end_mark.index)


def line_start(text: str, at: int) -> int:
    """Index of the first character of the line that `at` is in."""
    return max(text.rfind(mark, 0, at) for mark in "\r\n\x85\u2028\u2029") + 1


def line_end(text: str, at: int) -> int:
    """Index of the line end behind `at`, or the end of the text."""
    found = BREAK.search(text, at)
    return found.start() if found else len(text)


def next_line(text: str, at: int) -> int | None:
    """Index of the first character of the next line; None if the last one has no line end."""
    found = BREAK.search(text, at)
    return found.end() if found else None


def column(text: str, at: int) -> int:
    """Number of characters before `at` in its line."""
    return at - line_start(text, at)
