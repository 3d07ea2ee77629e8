"""Rows of one source through their format and the tokenizer, about 4,000 at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

import axolotl.data.batch as borders
from axolotl.core.console import note_once
from axolotl.data.bad_rows import BadRows, placed, type_words
from axolotl.data.batch import Batch as Batch
from axolotl.data.batch import only_bad
from axolotl.data.encoder import Encoder
from axolotl.data.meter import Meter
from axolotl.data.pretokenized import TokenBatch, is_pretokenized
from axolotl.data.readable import Readable, first_of, metered, readable
from axolotl.data.rows import RowChunk
from axolotl.data.shard import Shard
from axolotl.data.sources import Source
from axolotl.data.text_batches import TextReader
from axolotl.errors import DataError
from axolotl.formats import BoundFormat, fitting_types


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
    bad, rows = bad or BadRows(), most_rows or borders.BATCH_ROWS
    chunks = readable(metered(first_of(part.chunks(start_row), first_rows), meter), bad)
    first = next(chunks, None)
    if first is None:
        left = bad.drain()
        if left:
            yield only_bad(left)
        return
    if is_pretokenized(first.rows[0], typed=part.bound is not None):
        if part.bound is not None:
            note_once(f"{part.source.label}: the rows are tokens already; `type` has no effect")
        read = chain([first], chunks)
        found = _token_batches(part, read, encoder, bad, rows)
    elif part.bound is None:
        raise _untyped(part, first.rows[0])
    else:
        reader = TextReader(part.source.label, part.bound, encoder, bad, rows)
        found = reader.batches(chain([first], chunks))
    yield from found


def _token_batches(
    part: Part, chunks: Iterator[Readable], encoder: Encoder, bad: BadRows, most_rows: int
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
            if len(batch) >= most_rows or batch.tokens >= borders.BATCH_TOKENS:
                yield _token_batch(batch, kept, numbers, bad, chunk.numbers[i])
                batch, kept, numbers = TokenBatch(encoder.vocabulary), [], []
    if kept:
        yield _token_batch(batch, kept, numbers, bad)
    left = bad.drain()
    if left:
        yield only_bad(left)


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
