"""Samples of endless data: read, formatted and tokenized while training goes on.

Every entry of the file is a lane that begins anew where it ends; the lanes take turns so that each
gives rows in proportion to its weight. Where reading stands is a handful of numbers, and reading
that starts there gives the same samples again.

What comes out depends on the data and the options alone, not on when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

from axolotl.core.console import note_once
from axolotl.data.bad_rows import BadRows
from axolotl.data.batches import Batch, Part, batches
from axolotl.data.encoder import Encoder
from axolotl.data.rows import row_place
from axolotl.data.tokenize import TOO_LONG, Limits, TokenRows, fit
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
    """

    lap: int = 0
    part: int = 0
    row: int = 0
    rows: int = 0


@dataclass(frozen=True)
class Lane:
    """One entry of the file.

    Args:
        name: Its key, for messages.
        parts: Its files, in order.
        weight: Its share of the rows, against those of the others.
        skip: Rows at its beginning that are passed over in every lap.
    """

    name: str
    parts: Sequence[Part]
    weight: float = 1.0
    skip: int = 0


Position = tuple[LanePosition, ...]
"""Where reading stands, lane by lane."""


class SampleStream:
    """Samples one after the other, without end.

    Args:
        lanes: What is read.
        encoder: The tokenizer.
        limits: How long samples may be.
        position: Where to start; at the beginning by default.
        bad: Rows that cannot be used; by default the first is an error.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        encoder: Encoder,
        limits: Limits,
        *,
        position: Position | None = None,
        bad: BadRows | None = None,
    ) -> None:
        starts = position or tuple(LanePosition() for _ in lanes)
        self._lanes = [
            _Reader(lane, start, encoder, limits, bad or BadRows())
            for lane, start in zip(lanes, starts, strict=True)
        ]
        self.dropped: dict[str, int] = {}
        """Rows that gave no sample, by reason, since reading started."""

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
            rows, dropped = reader.read()
            taken += rows
            for reason, count in dropped.items():
                self.dropped[reason] = self.dropped.get(reason, 0) + count
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

    def read(self) -> tuple[list[TokenRow], Mapping[str, int]]:
        """The samples of the next rows, and how many rows gave none."""
        part, batch = next(self._batches)
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
        counts = {reason: int(which.size) for reason, which in fitted.dropped.items()}
        if batch.bad:
            counts["bad"] = len(batch.bad)
        return list(_samples(fitted.rows)), counts

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
                    hint="look at some rows with `axolotl preview`",
                )
            lap = self.position.lap + 1
            note_once(
                f"{self.lane.name} has been read to its end: it is read from the beginning again"
            )
            self.position = replace(self.position, lap=lap, part=0, row=0)

    def _part(self, number: int) -> Iterator[tuple[int, Batch]]:
        start = max(self.position.row, self.lane.skip if number == 0 else 0)
        found = batches(
            self.lane.parts[number],
            self._encoder,
            start_row=start,
            most_rows=STREAM_ROWS,
            bad=self._bad,
        )
        for batch in found:
            last = max([*batch.numbers[-1:].tolist(), *(row for row, _ in batch.bad)])
            read = len(batch.rows) + len(batch.bad)
            self.position = replace(
                self.position, part=number, row=last, rows=self.position.rows + read
            )
            yield number, batch


def _samples(rows: TokenRows) -> Iterator[TokenRow]:
    for start, end in pairwise(rows.offsets.tolist()):
        yield TokenRow(rows.input_ids[start:end].copy(), rows.labels[start:end].copy())


def position_as_json(position: Position) -> list[dict[str, int]]:
    """For a checkpoint."""
    return [asdict(lane) for lane in position]


def position_of_json(content: Any) -> Position:
    """From a checkpoint.

    Raises:
        TypeError, ValueError: it is none.
    """
    return tuple(LanePosition(**lane) for lane in content)
