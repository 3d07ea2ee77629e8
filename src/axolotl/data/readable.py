"""Rows that could be read, on their way from a file to their format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from axolotl.data.bad_rows import BadRows
from axolotl.data.meter import Meter
from axolotl.data.rows import RowChunk
from axolotl.errors import DataError


@dataclass(frozen=True, slots=True)
class Readable:
    """Rows of a chunk that could be read."""

    rows: list[dict[str, Any]]
    numbers: Sequence[int]
    chunk: RowChunk

    def place(self, label: str, index: int) -> str:
        """Where a row stands."""
        at = self.chunk.numbers.index(self.numbers[index])
        return self.chunk.place(label, at)


def readable(chunks: Iterator[RowChunk], bad: BadRows) -> Iterator[Readable]:
    """The rows that could be read; the others are bad rows."""
    for chunk in chunks:
        numbers = chunk.numbers
        rows = [row for row in chunk.rows if not isinstance(row, DataError)]
        if len(rows) < len(chunk.rows):
            kept: list[int] = []
            for row, number in zip(chunk.rows, numbers, strict=True):
                if isinstance(row, DataError):
                    bad.take(row, number)
                else:
                    kept.append(number)
            numbers = kept
        if rows:
            yield Readable(rows, numbers, chunk)


def metered(chunks: Iterator[RowChunk], meter: Meter | None) -> Iterator[RowChunk]:
    """The same chunks, counted."""
    for chunk in chunks:
        yield chunk
        if meter is not None:
            meter.update(len(chunk.rows), chunk.done)


def first_of(chunks: Iterator[RowChunk], first_rows: int | None) -> Iterator[RowChunk]:
    """The first so many rows; all for None."""
    if first_rows is None:
        yield from chunks
        return
    for chunk in chunks:
        picked = chunk.picked and chunk.picked[:first_rows]
        yield replace(chunk, rows=chunk.rows[:first_rows], picked=picked)
        first_rows -= len(chunk.rows)
        if first_rows <= 0:
            return
