"""Rows of one source through their format and the tokenizer, about 4,000 at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from axolotl.core.console import note_once
from axolotl.data.encoder import Encoder
from axolotl.data.meter import Meter
from axolotl.data.pretokenized import TokenBatch, is_pretokenized
from axolotl.data.rows import RowChunk
from axolotl.data.shard import Shard
from axolotl.data.sources import Source
from axolotl.data.tokenize import SegmentBatch, TokenRows, tokenize
from axolotl.errors import DataError
from axolotl.formats import BoundFormat
from axolotl.registry import available, load

BATCH_ROWS = 4000
BATCH_CHARACTERS = 8_000_000


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

    def chunks(self) -> Iterator[RowChunk]:
        """The rows that are taken, a bounded number at a time."""
        return self.shard.chunks(self.source) if self.shard else self.source.chunks()

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
    """

    tokens: TokenRows
    rows: Sequence[Mapping[str, Any]]
    numbers: np.ndarray
    control: np.ndarray
    padded: int = 0
    pretokenized: bool = False


def batches(
    part: Part, encoder: Encoder, *, meter: Meter | None = None, first_rows: int | None = None
) -> Iterator[Batch]:
    """The rows of a part, tokenized.

    Args:
        part: The rows and their format.
        encoder: The tokenizer.
        meter: Told of every row that is read.
        first_rows: Stop after so many rows; None for all.

    Raises:
        DataError: a row cannot be read or used; names it.
    """
    chunks = _metered(_first(part.chunks(), first_rows), meter)
    first = next(chunks, None)
    if first is None:
        return
    if is_pretokenized(first.rows[0], typed=part.bound is not None):
        if part.bound is not None:
            note_once(f"{part.source.label}: the rows are tokens already; `type` has no effect")
        yield from _token_batches(part, first, chunks, encoder)
    elif part.bound is None:
        raise _untyped(part, first.rows[0])
    else:
        yield from _text_batches(part, part.bound, first, chunks, encoder)


def _text_batches(
    part: Part, bound: BoundFormat, first: RowChunk, chunks: Iterator[RowChunk], encoder: Encoder
) -> Iterator[Batch]:
    label = part.source.label
    batch, rows, numbers, held = SegmentBatch(), [], [], []
    for chunk in chain([first], chunks):
        held.append((len(rows), chunk))
        numbers_here = chunk.numbers
        for i, row in enumerate(chunk.rows):
            try:
                batch.add(bound.segments(row))
            except DataError as error:
                raise _placed(error, chunk.place(label, i)) from None
            rows.append(row)
            numbers.append(numbers_here[i])
            if len(batch) >= BATCH_ROWS or batch.characters >= BATCH_CHARACTERS:
                yield _tokenized(batch, rows, numbers, held, label, encoder)
                batch, rows, numbers, held = SegmentBatch(), [], [], [(-i - 1, chunk)]
    if rows:
        yield _tokenized(batch, rows, numbers, held, label, encoder)


def _tokenized(
    batch: SegmentBatch,
    rows: list[Mapping[str, Any]],
    numbers: list[int],
    held: list[tuple[int, RowChunk]],
    label: str,
    encoder: Encoder,
) -> Batch:
    """Tokenize a batch; `held` says from which of its rows on a chunk supplies them."""
    try:
        tokens, control = tokenize(batch, encoder)
    except (TypeError, UnicodeEncodeError):
        bad = batch.unencodable_row()
        if bad is None:
            raise
        start, chunk = next(pair for pair in reversed(held) if pair[0] <= bad)
        raise DataError(
            "half of a surrogate pair, which no UTF-8 text can hold",
            where=chunk.place(label, bad - start),
            hint=r"take escapes such as \ud800 out of the row, or write both halves",
        ) from None
    return Batch(tokens, rows, np.array(numbers, np.int64), control)


def _token_batches(
    part: Part, first: RowChunk, chunks: Iterator[RowChunk], encoder: Encoder
) -> Iterator[Batch]:
    for chunk in chain([first], chunks):
        batch = TokenBatch(encoder.vocabulary)
        for i, row in enumerate(chunk.rows):
            try:
                batch.add(row)
            except DataError as error:
                raise _placed(error, chunk.place(part.source.label, i)) from None
        numbers = np.array(chunk.numbers, np.int64)
        yield Batch(batch.rows(), chunk.rows, numbers, np.empty(0, np.int64), batch.padded, True)


def _placed(error: DataError, place: str) -> DataError:
    return DataError(error.what, where=place, hint=error.hint)


def _untyped(part: Part, row: Mapping[str, Any]) -> DataError:
    fitting = [
        name
        for name in available("axolotl.formats")
        if set(load("axolotl.formats", name).fields(load("axolotl.formats", name).Options()))
        <= set(row)
    ]
    return DataError(
        f"no `type`, and the rows are not tokens already (they have: {', '.join(map(str, row))})",
        where=f"{part.key} ({part.source.label})",
        hint=f"`type: {fitting[0]}` fits these fields"
        if fitting
        else "give the entry a `type`, or rows with input_ids, attention_mask and labels",
    )


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
