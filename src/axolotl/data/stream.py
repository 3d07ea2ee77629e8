"""Samples of endless data: read, formatted and tokenized while training goes on.

Every entry of the file is a lane that begins anew where it ends; the lanes take turns so that each
gives rows in proportion to its weight. Where reading stands is a handful of numbers, and reading
that starts there gives the same samples again.

What comes out depends on the data and the options alone, not on when it is asked for.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from axolotl.core.console import note_once
from axolotl.data.bad_rows import BadRows
from axolotl.data.batches import Batch, Part, batches
from axolotl.data.encoder import Encoder
from axolotl.data.rows import row_place
from axolotl.data.tokenize import TOO_LONG, Fitted, Limits, TokenRows, fit
from axolotl.errors import DataError
from axolotl.records import TokenRow

STREAM_ROWS = 500
"""Rows that are read at a time; lanes change in between."""


@dataclass(frozen=True, slots=True)
class LanePosition:
    """Where reading a lane stands.

    Args:
        lap: How often it has been read to its end.
        part: Number of the file that is read.
        row: How many rows of the file have been read.
        rows: Rows read in all, which decide whose turn it is.
        bad: Rows left out in the first lap, because they could not be used; later laps meet them
            again.
    """

    lap: int = 0
    part: int = 0
    row: int = 0
    rows: int = 0
    bad: int = 0


@dataclass(frozen=True)
class Lane:
    """One entry of the file.

    Args:
        name: Its key, for messages.
        parts: Its files, in order.
        weight: Its share of the rows, against those of the others.
        skip: Rows at its beginning that are passed over in every lap.
        texts: Whether its rows are plain texts, as in `pretraining_dataset`.
    """

    name: str
    parts: Sequence[Part]
    weight: float = 1.0
    skip: int = 0
    texts: bool = False


Position = tuple[LanePosition, ...]
"""Where reading stands, lane by lane."""


@dataclass
class StreamCounts:
    """What became of rows that are read while training goes on.

    Args:
        read: Rows read, laps included.
        dropped: Rows that gave no sample, by reason.
        truncated: Rows that lost their end.
        remarks: Rows by what their format has to say of them.
    """

    read: int = 0
    dropped: Counter[str] = field(default_factory=Counter[str])
    truncated: int = 0
    remarks: Counter[str] = field(default_factory=Counter[str])

    def add(self, batch: Batch, fitted: Fitted) -> None:
        """Count a batch."""
        self.read += len(batch.rows) + len(batch.bad)
        self.dropped.update({why: int(which.size) for why, which in fitted.dropped.items()})
        self.dropped.update(f"cannot be used: {what}" for _, what in batch.bad)
        self.truncated += int(fitted.truncated.size)
        self.remarks.update(remark for _, remark in batch.remarks)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `asdict` does not know counters."""
        dropped, remarks = dict(self.dropped), dict(self.remarks)
        return {
            "read": self.read,
            "dropped": dropped,
            "truncated": self.truncated,
            "remarks": remarks,
        }

    def lines(self) -> list[str]:
        """What is worth a look, a line for each."""
        cut = {"truncated": self.truncated} if self.truncated else {}
        left_out = {f"dropped, {why}": count for why, count in self.dropped.items()}
        return [
            f"{what}: {count:,} of {self.read:,} rows read"
            for what, count in {**left_out, **cut, **self.remarks}.items()
        ]


class SampleStream:
    """Samples one after the other, without end.

    Args:
        lanes: What is read.
        encoder: The tokenizer.
        limits: How long samples may be.
        position: Where to start; at the beginning by default.
        skip_bad_rows: How many rows that cannot be used are left out.
        counts: Told how many rows gave no sample, or are remarked on, by reason.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        encoder: Encoder,
        limits: Limits,
        *,
        position: Position | None = None,
        skip_bad_rows: int = 0,
        counts: StreamCounts | None = None,
    ) -> None:
        starts = position or tuple(LanePosition() for _ in lanes)
        bad = BadRows(skip_bad_rows, found=sum(start.bad for start in starts))
        self._lanes = [
            _Reader(lane, start, encoder, limits, bad)
            for lane, start in zip(lanes, starts, strict=True)
        ]
        self.counts = counts or StreamCounts()
        """What became of the rows since reading started."""

    @property
    def position(self) -> Position:
        """Where reading stands, behind the samples that were taken."""
        return tuple(reader.position for reader in self._lanes)

    def take(self, samples: int) -> list[TokenRow]:
        """The next samples: at least so many, and up to a whole reading more.

        Raises:
            DataError: a row cannot be used, or an entry gives no sample from beginning to end.
        """
        taken: list[TokenRow] = []
        while len(taken) < samples:
            reader = min(self._lanes, key=lambda r: r.position.rows / r.lane.weight)
            taken += reader.read(self.counts)
        return taken


class _Reader:
    """Reads one lane; its position is where the next reading begins."""

    def __init__(
        self, lane: Lane, start: LanePosition, encoder: Encoder, limits: Limits, bad: BadRows
    ) -> None:
        self.lane = lane
        self.position = start
        self._encoder = encoder
        self._limits = limits
        self._bad = bad
        self._batches = self._from_here()
        self._gave = start.rows > 0

    def read(self, counts: StreamCounts) -> list[TokenRow]:
        """The samples of the next rows."""
        try:
            part, batch = next(self._batches)
        except DataError as error:
            raise self._of_texts(error) from None
        bound = self.lane.parts[part].bound
        fitted = fit(batch.tokens, self._limits, long_rows=bound.long_rows if bound else "drop")
        if self._limits.excess == "raise" and TOO_LONG in fitted.dropped:
            row = int(batch.numbers[fitted.dropped[TOO_LONG][0]])
            raise DataError(
                f"longer than sequence_len ({self._limits.capacity_tokens} tokens)",
                where=row_place(self.lane.parts[part].source.label, row),
                hint="raise sequence_len, or write `excess_length_strategy: drop`",
            )
        self._gave = self._gave or bool(fitted.rows.origin.size)
        counts.add(batch, fitted)
        label = self.lane.parts[part].source.label
        return list(_samples(fitted.rows, label, batch.numbers))

    def _of_texts(self, error: DataError) -> DataError:
        """An entry of `pretraining_dataset` has no type that could be chosen, but a column."""
        if not (self.lane.texts and error.what.startswith("no field")):
            return error
        hint = "name the column with the text: `text_column: …`"
        return DataError(error.what, where=error.where, hint=hint)

    def _from_here(self) -> Iterator[tuple[int, Batch]]:
        while True:
            for number in range(self.position.part, len(self.lane.parts)):
                yield from self._part(number)
                following = replace(self.position, part=number + 1, row=0)
                self.position = following
            if not self._gave:
                raise DataError(
                    "no row of it can be trained on",
                    where=self.lane.name,
                    hint=f"`skip: {self.lane.skip:,}` may be more rows than it has"
                    if self.lane.skip and not self.position.rows
                    else "look at some rows with `axolotl preview`",
                )
            lap = self.position.lap + 1
            note_once(
                f"{self.lane.name} has been read to its end: it is read from the beginning again"
            )
            self.position = replace(self.position, lap=lap, part=0, row=0)

    def _part(self, number: int) -> Iterator[tuple[int, Batch]]:
        start = max(self.position.row, self.lane.skip if number == 0 else 0)
        first_lap = self.position.lap == 0
        found = batches(
            self.lane.parts[number],
            self._encoder,
            start_row=start,
            most_rows=STREAM_ROWS,
            bad=self._bad if first_lap else BadRows(sys.maxsize),
        )
        for batch in found:
            last = max([*batch.numbers[-1:].tolist(), *(row for row, _ in batch.bad)])
            read = len(batch.rows) + len(batch.bad)
            self.position = replace(
                self.position,
                part=number,
                row=last,
                rows=self.position.rows + read,
                bad=self.position.bad + (len(batch.bad) if first_lap else 0),
            )
            yield number, batch


def _samples(rows: TokenRows, file: str, numbers: np.ndarray) -> Iterator[TokenRow]:
    """Samples that know the row they come from.

    Args:
        rows: Their tokens.
        file: The file that was read.
        numbers: Number in the file of each of its rows that were read.
    """
    came_from = numbers[rows.origin].tolist()
    for (start, end), number in zip(pairwise(rows.offsets.tolist()), came_from, strict=True):
        ids, labels = rows.input_ids[start:end].copy(), rows.labels[start:end].copy()
        yield TokenRow(ids, labels, (file, number))


def position_as_json(position: Position) -> list[dict[str, int]]:
    """For a checkpoint."""
    return [asdict(lane) for lane in position]


def position_of_json(content: Any) -> Position:
    """From a checkpoint.

    Raises:
        TypeError, ValueError: it is none.
    """
    return tuple(LanePosition(**lane) for lane in content)
