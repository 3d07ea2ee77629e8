"""Rows of one source through their format and the tokenizer, about 4,000 at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from axolotl.core.console import note_once
from axolotl.data.bad_rows import BadRows, placed, type_words
from axolotl.data.encoder import Encoder
from axolotl.data.meter import Meter
from axolotl.data.pretokenized import TokenBatch, is_pretokenized
from axolotl.data.rows import RowChunk
from axolotl.data.shard import Shard
from axolotl.data.sources import Source
from axolotl.data.tokenize import SegmentBatch, TokenRows, tokenize
from axolotl.errors import DataError
from axolotl.formats import BoundFormat, fitting_types

BATCH_ROWS = 4000
BATCH_CHARACTERS = 8_000_000
BATCH_TOKENS = 500_000


@dataclass(frozen=True, slots=True)
class Part:
    """One file or table and the format of its rows.

    Args:
        source: Where the rows come from.
        bound: Their format; None when the entry has no `type`.
        key: The entry in the YAML file, such as `datasets.0`.
        shard: Which of the rows are taken; None for all.
    """

    source: Source
    bound: BoundFormat | None
    key: str
    shard: Shard | None = None

    def chunks(self, start_row: int = 0) -> Iterator[RowChunk]:
        """The rows that are taken, a bounded number at a time.

        Args:
            start_row: How many rows of the file are passed over.
        """
        if self.shard is None:
            return self.source.chunks(start_row)
        return _behind(self.shard.chunks(self.source), start_row)

    def identity(self) -> list[Any]:
        """Everything that decides which rows there are and what they become."""
        what = [self.source.identity(), self.bound.identity() if self.bound else None]
        return [*what, self.shard.identity()] if self.shard else what


@dataclass(frozen=True, slots=True)
class Batch:
    """Tokenized rows of one part, with the rows they come from.

    Args:
        tokens: The rows, of any length.
        rows: The source rows.
        numbers: int64: the row of the file that each source row is, from 1.
        control: Indices of the source rows whose own text gave a special token.
        padded: Number of pretokenized rows that lost padding.
        pretokenized: Whether the rows were tokens already.
        bad: Rows that were left out on the way here: number in the file, and what is wrong.
    """

    tokens: TokenRows
    rows: Sequence[Mapping[str, Any]]
    numbers: np.ndarray
    control: np.ndarray
    padded: int = 0
    pretokenized: bool = False
    bad: tuple[tuple[int, str], ...] = ()


def batches(
    part: Part,
    encoder: Encoder,
    *,
    meter: Meter | None = None,
    first_rows: int | None = None,
    start_row: int = 0,
    most_rows: int | None = None,
    bad: BadRows | None = None,
) -> Iterator[Batch]:
    """The rows of a part, tokenized.

    A batch ends after so many rows or characters, counted from the row that begins it: reading that
    starts where a batch began gives the same batches again.

    Args:
        part: The rows and their format.
        encoder: The tokenizer.
        meter: Told of every row that is read.
        first_rows: Stop after so many rows; None for all.
        start_row: How many rows of the file are passed over.
        most_rows: Rows of a batch at most; `BATCH_ROWS` by default.
        bad: Rows that cannot be used; by default the first is an error.

    Raises:
        DataError: a row cannot be read or used; names it.
    """
    bad = bad or BadRows()
    chunks = _readable(_metered(_first(part.chunks(start_row), first_rows), meter), bad)
    first = next(chunks, None)
    if first is None:
        left = bad.drain()
        if left:
            yield _only_bad(left)
        return
    if is_pretokenized(first.rows[0], typed=part.bound is not None):
        if part.bound is not None:
            note_once(f"{part.source.label}: the rows are tokens already; `type` has no effect")
        read = chain([first], chunks)
        found = _token_batches(part, read, encoder, bad, most_rows or BATCH_ROWS)
    elif part.bound is None:
        raise _untyped(part, first.rows[0])
    else:
        reader = _TextReader(part, part.bound, encoder, bad, most_rows or BATCH_ROWS)
        found = reader.batches(chain([first], chunks))
    yield from found


class _TextReader:
    """Rows through their format and the tokenizer, a batch at a time."""

    def __init__(
        self, part: Part, bound: BoundFormat, encoder: Encoder, bad: BadRows, most_rows: int
    ) -> None:
        self._label = part.source.label
        self._bound = bound
        self._encoder = encoder
        self._bad = bad
        self._most_rows = most_rows
        self._begin()

    def _begin(self) -> None:
        self._batch = SegmentBatch()
        self._rows: list[Mapping[str, Any]] = []
        self._numbers: list[int] = []
        self._places: list[tuple[_Readable, int]] = []

    def batches(self, chunks: Iterator[_Readable]) -> Iterator[Batch]:
        for chunk in chunks:
            numbers = chunk.numbers
            for i, row in enumerate(chunk.rows):
                try:
                    self._batch.add(self._bound.segments(row))
                except DataError as error:
                    place = chunk.place(self._label, i)
                    self._bad.take(placed(error, place, row=row, bound=self._bound), numbers[i])
                    continue
                self._rows.append(row)
                self._numbers.append(numbers[i])
                self._places.append((chunk, i))
                full = len(self._batch) >= self._most_rows
                if full or self._batch.characters >= BATCH_CHARACTERS:
                    yield self._tokenized(numbers[i])
                    self._begin()
        if self._rows:
            yield self._tokenized()
        left = self._bad.drain()
        if left:
            yield _only_bad(left)

    def _tokenized(self, last: int | None = None) -> Batch:
        """Tokenize what was gathered up to a row; rows that no UTF-8 text can hold are bad rows."""
        while True:
            try:
                tokens, control = tokenize(self._batch, self._encoder)
                break
            except (TypeError, UnicodeEncodeError):
                index = self._batch.unencodable_row()
                if index is None:
                    raise
            self._leave_out(index)
        numbers = np.array(self._numbers, np.int64)
        return Batch(tokens, self._rows, numbers, control, bad=self._bad.drain(last))

    def _leave_out(self, index: int) -> None:
        chunk, at = self._places.pop(index)
        error = DataError(
            "half of a surrogate pair, which no UTF-8 text can hold",
            where=chunk.place(self._label, at),
            hint=r"take escapes such as \ud800 out of the row, or write both halves",
        )
        self._bad.take(error, self._numbers.pop(index))
        del self._rows[index]
        self._batch = SegmentBatch()
        for row in self._rows:
            self._batch.add(self._bound.segments(row))


def _token_batches(
    part: Part, chunks: Iterator[_Readable], encoder: Encoder, bad: BadRows, most_rows: int
) -> Iterator[Batch]:
    batch, kept, numbers = TokenBatch(encoder.vocabulary), list[Mapping[str, Any]](), list[int]()
    for chunk in chunks:
        for i, row in enumerate(chunk.rows):
            try:
                batch.add(row)
            except DataError as error:
                place = chunk.place(part.source.label, i)
                bad.take(placed(error, place, row=row, bound=None), chunk.numbers[i])
                continue
            kept.append(row)
            numbers.append(chunk.numbers[i])
            if len(batch) >= most_rows or batch.tokens >= BATCH_TOKENS:
                yield _token_batch(batch, kept, numbers, bad, chunk.numbers[i])
                batch, kept, numbers = TokenBatch(encoder.vocabulary), [], []
    if kept:
        yield _token_batch(batch, kept, numbers, bad)
    left = bad.drain()
    if left:
        yield _only_bad(left)


def _token_batch(
    batch: TokenBatch,
    rows: list[Mapping[str, Any]],
    numbers: list[int],
    bad: BadRows,
    last: int | None = None,
) -> Batch:
    return Batch(
        batch.rows(),
        rows,
        np.array(numbers, np.int64),
        np.empty(0, np.int64),
        batch.padded,
        pretokenized=True,
        bad=bad.drain(last),
    )


def _only_bad(bad: tuple[tuple[int, str], ...]) -> Batch:
    none = np.empty(0, np.int64)
    ids = np.empty(0, np.int32)
    return Batch(TokenRows(ids, ids, np.zeros(1, np.int64), none), [], none, none, bad=bad)


def _untyped(part: Part, row: Mapping[str, Any]) -> DataError:
    fitting = fitting_types(row)
    return DataError(
        f"no `type`, and the rows are not tokens already (they have: {', '.join(map(str, row))})",
        where=f"{part.key} ({part.source.label})",
        hint=f"{type_words(fitting)} fits these fields"
        if fitting
        else "give the entry a `type`, or rows with input_ids, attention_mask and labels",
    )


def _behind(chunks: Iterator[RowChunk], start_row: int) -> Iterator[RowChunk]:
    """The rows behind the first so many of the file."""
    for chunk in chunks:
        numbers = chunk.numbers
        if not len(numbers) or numbers[-1] <= start_row:
            continue
        if numbers[0] > start_row:
            yield chunk
            continue
        at = sum(number <= start_row for number in numbers)
        lines = None if chunk.lines is None else chunk.lines[at:]
        yield replace(chunk, rows=chunk.rows[at:], lines=lines, picked=list(numbers[at:]))


@dataclass(frozen=True, slots=True)
class _Readable:
    """Rows of a chunk that could be read."""

    rows: list[dict[str, Any]]
    numbers: Sequence[int]
    chunk: RowChunk

    def place(self, label: str, index: int) -> str:
        """Where a row stands."""
        at = self.chunk.numbers.index(self.numbers[index])
        return self.chunk.place(label, at)


def _readable(chunks: Iterator[RowChunk], bad: BadRows) -> Iterator[_Readable]:
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
            yield _Readable(rows, numbers, chunk)


def _metered(chunks: Iterator[RowChunk], meter: Meter | None) -> Iterator[RowChunk]:
    for chunk in chunks:
        yield chunk
        if meter is not None:
            meter.update(len(chunk.rows), chunk.done)


def _first(chunks: Iterator[RowChunk], first_rows: int | None) -> Iterator[RowChunk]:
    if first_rows is None:
        yield from chunks
        return
    for chunk in chunks:
        picked = chunk.picked and chunk.picked[:first_rows]
        yield replace(chunk, rows=chunk.rows[:first_rows], picked=picked)
        first_rows -= len(chunk.rows)
        if first_rows <= 0:
            return
