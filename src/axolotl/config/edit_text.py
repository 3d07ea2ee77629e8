"""Edits as patches of the text: which characters go, and what comes in their place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from axolotl.config.edit_tree import Refused
from axolotl.config.yaml_spans import (
    BREAK,
    Entry,
    Span,
    column,
    line_end,
    line_start,
    next_line,
)
from axolotl.config.yaml_write import write_value

_COMMA = re.compile(r"(?:\s|(?<=\s)#[^\r\n]*)*,")
_STEP = 2
"""Columns that a new nested key stands further right."""


class Patch(NamedTuple):
    """The characters from `start` to before `end`, and the text that takes their place."""

    start: int
    end: int
    text: str


class Spot(NamedTuple):
    """The mapping or list that something stands in, and its number there."""

    holder: Span
    number: int

    @property
    def entry(self) -> Entry:
        """The entry of a mapping."""
        return self.holder.entries[self.number]


def find(root: Span, parts: Sequence[str]) -> list[Spot]:
    """Each step of the way to what is written at a path; fewer than its parts where it ends early."""
    spots, holder = list[Spot](), root
    for part in parts:
        number = holder.find(part)
        if number is None:
            break
        spots.append(Spot(holder, number))
        holder = holder.value(number)
    return spots


def written(root: Span, key: str) -> list[Spot]:
    """As `find`, of a dotted path that is written to its end.

    Raises:
        Refused: it is not.
    """
    parts = key.split(".")
    spots = find(root, parts)
    if len(spots) < len(parts):
        raise Refused
    return spots


def removal(text: str, root: Span, key: str) -> list[Patch]:
    """Remove a key and its value, with the comment behind them.

    Raises:
        Refused: it is not written as a key.
    """
    spots = written(root, key)
    if spots[-1].holder.kind != "map":
        raise Refused
    while len(spots) > 1 and len(spots[-1].holder.entries) == 1:
        if spots[-2].holder.kind == "row":
            return [Patch(spots[-1].holder.start, spots[-1].holder.end, "{}")]
        spots.pop()
    holder, number = spots[-1]
    return [_from_flow(text, holder, number) if holder.flow else _lines(text, holder, number)]


def _lines(text: str, holder: Span, number: int) -> Patch:
    """Remove the lines of an entry."""
    entry = holder.entries[number]
    start = line_start(text, entry.key.start)
    stop = line_end(text, full_end(text, entry))
    head = text[start : entry.key.start]
    if not head.strip(" "):
        after = next_line(text, stop)
        if after is None:  # the last line goes with the line end before it
            before = text[:start]
            broken = list(BREAK.finditer(before[-2:]))
            start -= len(broken[-1][0]) if broken else 0
        return Patch(start, stop if after is None else after, "")
    if number + 1 == len(holder.entries):
        raise Refused
    follower = holder.entries[number + 1].key.start
    if "#" in text[stop:follower]:  # `- ` may stand alone above comments
        return Patch(start + len(head.rstrip(" ")), stop, "")
    return Patch(entry.key.start, follower, "")


def _from_flow(text: str, holder: Span, number: int) -> Patch:
    """Remove an entry of a mapping in braces, with one comma."""
    entry = holder.entries[number]
    start, stop = entry.key.start, entry.end
    if comma := _COMMA.match(text, stop):
        stop = comma.end()
    elif number:
        end_before = holder.entries[number - 1].end
        if text[end_before:start].strip(" ") == ",":
            return Patch(end_before, stop, "")
    rest = text[stop : line_end(text, stop)]
    if not rest.strip(" \t") or re.match(r"[ \t]+#", rest):
        stop += len(rest)
        first = line_start(text, start)
        after = next_line(text, stop)
        if not text[first:start].strip(" \t") and after is not None:
            return Patch(first, after, "")
        return Patch(start, stop, "")
    return Patch(start, stop + len(rest) - len(rest.lstrip(" \t")) if comma else stop, "")


def renaming(text: str, root: Span, key: str, name: str) -> list[Patch]:
    """Give a key another name where it stands.

    Raises:
        Refused: it is not written as a key.
    """
    holder, number = written(root, key)[-1]
    if holder.kind != "map":
        raise Refused
    place = holder.entries[number].key
    quote, new = text[place.start : place.start + 1], write_value(name)
    if quote in ("'", '"') and new == name:
        new = f"{quote}{name}{quote}"
    return [Patch(place.start, place.end, new)]


def setting(text: str, root: Span, key: str, value: object) -> list[Patch]:
    """Give a key that is written another value.

    Raises:
        Refused: it is not written.
    """
    spot, new = written(root, key)[-1], write_value(value)
    if spot.holder.kind == "row":
        item = spot.holder.items[spot.number]
        return [Patch(item.start, item.end, new if item.start < item.end else f" {new}")]
    entry = spot.entry
    place = entry.value
    if entry.colon is None:
        if place.start < place.end or not spot.holder.flow:
            raise Refused
        return [Patch(entry.key.end, entry.key.end, f": {new}")]
    if place.start == place.end:
        return [Patch(entry.colon, entry.colon, f" {new}")]
    first = line_end(text, entry.colon)
    if place.is_block and first < place.start:  # the comment behind the colon stays
        behind = text[entry.colon : first].rstrip(" \t")
        return [Patch(entry.colon, full_end(text, entry), f" {new}{behind}")]
    return [Patch(place.start, place.end, new)]


def replacement(text: str, root: Span, key: str, line: Line) -> Patch:
    """Write a key where one stands."""
    holder, number = written(root, key)[-1]
    if holder.kind != "map":
        raise Refused
    entry = holder.entries[number]
    if holder.flow:
        return Patch(entry.key.start, entry.end, line.flow)
    new = indented(line.block, column(text, entry.key.start)).lstrip(" ")
    return Patch(entry.key.start, line_end(text, full_end(text, entry)), new)


class Line(NamedTuple):
    """A key to be written.

    Args:
        block: The key and all that follows it, from its own column 0 on.
        flow: The same for a mapping in braces.
    """

    block: str
    flow: str


def new_line(name: str, value: object) -> Line:
    """A key with a value, on one line."""
    done = f"{write_value(name)}: {write_value(value)}"
    return Line(done, done)


def insertion(
    text: str, root: Span, parts: Sequence[str], line: Line, *, behind: Sequence[str]
) -> list[Patch]:
    """Write a new key.

    Args:
        text: The text.
        root: Its spans.
        parts: The path of the key. Mappings on the way to it that are not written yet are added.
        line: The key with its value.
        behind: The path behind which it goes, as far as that is in the same mapping; else it goes
            behind the last key.

    Raises:
        Refused: something that is no mapping stands in the way.
    """
    spots = find(root, parts[:-1])
    holder = spots[-1].holder.value(spots[-1].number) if spots else root
    missing = parts[len(spots) : -1]
    if holder.kind == "scalar" and spots and spots[-1].holder.kind == "map":
        return [_filling(text, spots[-1], missing, line)]
    if holder.kind != "map":
        raise Refused
    if holder.flow:
        return [_into_flow(holder, _nested_flow(missing, line))]
    number = len(holder.entries) - 1
    if list(behind[: len(spots)]) == list(parts[: len(spots)]) and len(behind) > len(spots):
        found = holder.find(behind[len(spots)])
        number = number if found is None else found
    at = column(text, holder.entries[0].key.start)
    new = _nested_block(text, missing, line, at)
    return [_below(text, holder.entries[number], new)]


def _filling(text: str, spot: Spot, missing: Sequence[str], line: Line) -> Patch:
    """Give a key without a value the new key as its value."""
    entry = spot.entry
    if entry.value.start < entry.value.end or entry.colon is None or spot.holder.flow:
        return _set_text(entry, f"{{{_nested_flow(missing, line)}}}")
    at = column(text, spot.holder.entries[0].key.start)
    return _below(text, entry, _nested_block(text, missing, line, at + _STEP))


def _set_text(entry: Entry, new: str) -> Patch:
    if entry.colon is None:
        raise Refused
    if entry.value.start < entry.value.end:
        return Patch(entry.value.start, entry.value.end, new)
    return Patch(entry.colon, entry.colon, f" {new}")


def _nested_flow(missing: Sequence[str], line: Line) -> str:
    done = line.flow
    for name in reversed(missing):
        done = f"{write_value(name)}: {{{done}}}"
    return done


def _nested_block(text: str, missing: Sequence[str], line: Line, at: int) -> str:
    """The lines of a new key, and of mappings around it, with the first in column `at`."""
    end = line_break(text)
    heads = [f"{' ' * (at + _STEP * n)}{write_value(name)}:{end}" for n, name in enumerate(missing)]
    return "".join(heads) + indented(line.block, at + _STEP * len(missing))


def _below(text: str, entry: Entry, new: str) -> Patch:
    """Write lines below an entry."""
    stop = line_end(text, full_end(text, entry))
    after = next_line(text, stop)
    if after is None:
        return Patch(stop, stop, line_break(text) + new)
    return Patch(after, after, new + text[stop:after])


def _into_flow(holder: Span, new: str) -> Patch:
    if not holder.entries:
        return Patch(holder.end - 1, holder.end - 1, new)
    at = holder.entries[-1].end
    return Patch(at, at, f", {new}")


def full_end(text: str, entry: Entry) -> int:
    """The end of an entry with the comments that stand below it, further right than its key."""
    end = entry.end
    if not entry.value.is_block:
        return end
    at = next_line(text, end)
    while at is not None:
        stop = line_end(text, at)
        line = text[at:stop]
        words = line.lstrip(" ")
        if words.strip() and not words.startswith("#"):
            break
        if words.startswith("#"):
            if len(line) - len(words) <= column(text, entry.key.start):
                break
            end = stop
        at = next_line(text, stop)
    return end


def line_break(text: str) -> str:
    """The line end of a text."""
    found = BREAK.search(text)
    return found[0] if found else "\n"


def indented(text: str, by: int) -> str:
    """Lines moved to the right, or to the left as far as they are indented."""
    lines = list[str]()
    start = 0
    for mark in [*BREAK.finditer(text), None]:
        line = text[start : mark.start() if mark else len(text)]
        if by >= 0:
            line = f"{' ' * by}{line}" if line.strip() else line
        else:
            line = line[min(-by, len(line) - len(line.lstrip(" "))) :]
        lines.append(line + (mark[0] if mark else ""))
        start = mark.end() if mark else start
    return "".join(lines)


def entry_lines(text: str, entry: Entry, name: str) -> str:
    """An entry under another name, from column 0 on, with the comments that belong to it."""
    if entry.colon is None:
        raise Refused
    stop = line_end(text, full_end(text, entry))
    body = text[entry.colon : stop]
    first = line_end(body, 0)
    rest = indented(body[first:], -column(text, entry.key.start))
    return f"{write_value(name)}:{body[:first]}{rest}"
