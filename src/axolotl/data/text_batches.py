"""Rows of text through their format and the tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

import axolotl.data.batch as borders
from axolotl.data.bad_rows import BadRows, placed
from axolotl.data.batch import Batch, only_bad
from axolotl.data.encoder import Encoder
from axolotl.data.readable import Readable
from axolotl.data.tokenize import SegmentBatch, TokenRows, tokenize
from axolotl.errors import DataError
from axolotl.formats import BoundFormat

Tokenized = tuple[TokenRows, np.ndarray]
"""Rows, and the indices of those whose own text gave a special token."""


@dataclass
class _Gathered:
    """Rows of one batch, formatted and not tokenized yet.

    Args:
        segments: Their text.
        rows: The source rows.
        numbers: Their numbers in the file.
        places: The chunk that each stands in, and where.
        remarks: What the format has to say of rows, by their numbers.
        last: The row that the batch ends with; None at the end of the file.
    """

    segments: SegmentBatch = field(default_factory=SegmentBatch)
    rows: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    numbers: list[int] = field(default_factory=list[int])
    places: list[tuple[Readable, int]] = field(default_factory=list[tuple["Readable", int]])
    remarks: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    last: int | None = None


class TextReader:
    """Rows through their format and the tokenizer, a batch at a time.

    While the tokenizer works on one batch, in a thread of its own and outside Python, the next is
    read and formatted and the one before is used.
    """

    def __init__(
        self, label: str, bound: BoundFormat, encoder: Encoder, bad: BadRows, most_rows: int
    ) -> None:
        self._label = label
        self._bound = bound
        self._encoder = encoder
        self._bad = bad
        self._most_rows = most_rows

    def batches(self, chunks: Iterator[Readable]) -> Iterator[Batch]:
        """The batches, in order."""
        thread = ThreadPoolExecutor(1)
        try:
            begun: list[tuple[_Gathered, Future[Tokenized]]] = []
            for gathered in self._gather(chunks):
                work = thread.submit(tokenize, gathered.segments, self._encoder)
                begun.append((gathered, work))
                if len(begun) > 1:
                    yield self._tokenized(*begun.pop(0))
            for pair in begun:
                yield self._tokenized(*pair)
        finally:
            # No waiting: what is not read to its end may be closed by that thread itself, where the
            # garbage collector happens to run.
            thread.shutdown(wait=False, cancel_futures=True)
        if left := self._bad.drain():
            yield only_bad(left)

    def _gather(self, chunks: Iterator[Readable]) -> Iterator[_Gathered]:
        found = _Gathered()
        for chunk in chunks:
            numbers = chunk.numbers
            for i, row in enumerate(chunk.rows):
                try:
                    found.segments.add(self._bound.segments(row))
                except DataError as error:
                    place = chunk.place(self._label, i)
                    self._bad.take(placed(error, place, row=row, bound=self._bound), numbers[i])
                    continue
                # Asked at once, while the format may still know how it has read the row.
                found.remarks += [(numbers[i], said) for said in self._bound.remarks(row)]
                found.rows.append(row)
                found.numbers.append(numbers[i])
                found.places.append((chunk, i))
                full = len(found.rows) >= self._most_rows
                if full or found.segments.characters >= borders.BATCH_CHARACTERS:
                    found.last = numbers[i]
                    yield found
                    found = _Gathered()
        if found.rows:
            yield found

    def _tokenized(self, gathered: _Gathered, work: Future[Tokenized]) -> Batch:
        """The tokens of a batch; rows that no UTF-8 text can hold are bad rows."""
        ask: Callable[[], Tokenized] = work.result
        while True:
            try:
                tokens, control = ask()
                break
            except (TypeError, UnicodeEncodeError):
                index = gathered.segments.unencodable_row()
                if index is None:
                    raise
            self._leave_out(gathered, index)
            ask = partial(tokenize, gathered.segments, self._encoder)
        numbers = np.array(gathered.numbers, np.int64)
        bad = self._bad.drain(gathered.last)
        return Batch(
            tokens, gathered.rows, numbers, control, bad=bad, remarks=tuple(gathered.remarks)
        )

    def _leave_out(self, gathered: _Gathered, index: int) -> None:
        chunk, at = gathered.places.pop(index)
        error = DataError(
            "half of a surrogate pair, which no UTF-8 text can hold",
            where=chunk.place(self._label, at),
            hint=r"take escapes such as \ud800 out of the row, or write both halves",
        )
        self._bad.take(error, gathered.numbers.pop(index))
        del gathered.rows[index]
        gathered.remarks = [pair for pair in gathered.remarks if pair[0] in gathered.numbers]
        gathered.segments = SegmentBatch()
        for row in gathered.rows:
            gathered.segments.add(self._bound.segments(row))
