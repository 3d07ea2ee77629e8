"""Rows to train on out of an endless stream of samples, by number, and read on from a checkpoint.

The stream is read a buffer at a time; each buffer is shuffled and packed like an epoch of prepared
data. Rows are asked for in order. That they have numbers lets the library skip those that are done
on a resume without reading them, and a mark in the checkpoint says where to read on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset, Sampler

from axolotl.core.atomic import write_json
from axolotl.data.rows import row_place
from axolotl.data.stream import Position, SampleStream, position_as_json, position_of_json
from axolotl.packing.plan import PackPlan
from axolotl.records import TokenRow

STREAM_FILE = "stream.json"
_REMEMBERED = 1024
"""For how many rows it is remembered where their samples come from."""


@dataclass(frozen=True)
class BufferMark:
    """Where a buffer begins.

    Args:
        number: Its number, from 0.
        first_row: Rows of this process before it.
        position: Where reading stood.
    """

    number: int
    first_row: int
    position: Position

    def write(self, checkpoint: Path) -> None:
        """Put it into a checkpoint."""
        content = {"buffer": self.number, "first_row": self.first_row}
        write_json(
            checkpoint / STREAM_FILE, content | {"position": position_as_json(self.position)}
        )

    @classmethod
    def read(cls, checkpoint: Path) -> BufferMark | None:
        """The mark of a checkpoint; None where it has none, or one that cannot be read."""
        try:
            content = json.loads((checkpoint / STREAM_FILE).read_text("utf-8"))
            position = position_of_json(content["position"])
            return cls(int(content["buffer"]), int(content["first_row"]), position)
        except (OSError, ValueError, TypeError, KeyError):
            return None


class StreamedRows(Dataset[list[TokenRow]]):
    """The samples of each row of one process.

    Args:
        open_stream: Opens the stream where it is told, or at its beginning.
        plan: From the lengths of a buffer's samples and its number to its rows.
        buffer_samples: Samples of a buffer at least.
        rank: Number of this process.
        rows: Rows that are asked for in all.
        start: Where to begin reading; at the beginning by default.
    """

    def __init__(
        self,
        open_stream: Callable[[Position | None], SampleStream],
        plan: Callable[[np.ndarray, int], PackPlan],
        *,
        buffer_samples: int,
        rank: int,
        rows: int,
        start: BufferMark | None = None,
    ) -> None:
        self._plan_rows = plan
        self._buffer_samples = buffer_samples
        self._rank = rank
        self._rows = rows
        self._stream = open_stream(start.position if start else None)
        self._marks = [start or BufferMark(0, 0, self._stream.position)]
        self._samples: Sequence[TokenRow] = ()
        self._plan: PackPlan | None = None
        self._sources: dict[int, list[str]] = {}

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, row: int) -> list[TokenRow]:
        """The samples of a row; empty where the process has nothing to do.

        Raises:
            DataError: the data cannot be used.
        """
        assert row >= self._marks[-1].first_row, f"row {row} lies behind: rows come in order"
        while self._plan is None or row >= self._marks[-1].first_row + self._plan.steps:
            self._next_buffer()
        indices = self._plan.bin(self._rank, row - self._marks[-1].first_row)
        samples = [self._samples[i] for i in indices]
        self._sources[row] = [row_place(*sample.source) for sample in samples if sample.source]
        self._sources.pop(row - _REMEMBERED, None)
        return samples

    def sources(self, row: int) -> list[str]:
        """The source rows of a row that was asked for not long ago."""
        return self._sources.get(row, [])

    def mark(self, row: int) -> BufferMark:
        """Where to begin reading in order to go on with a row; older marks are forgotten."""
        self._marks = [
            *[mark for mark in self._marks if mark.first_row <= row][-1:],
            *[mark for mark in self._marks if mark.first_row > row],
        ]
        following = self._following()
        return following if following and following.first_row <= row else self._marks[0]

    def _following(self) -> BufferMark | None:
        """Where the buffer begins that is read next; None before the first."""
        last = self._marks[-1]
        if self._plan is None:
            return None
        begun = last.first_row + self._plan.steps
        return BufferMark(last.number + 1, begun, self._stream.position)

    def _next_buffer(self) -> None:
        if following := self._following():
            self._marks.append(following)
        self._samples = self._stream.take(self._buffer_samples)
        lengths = np.array([row.input_ids.size for row in self._samples], np.int64)
        self._plan = self._plan_rows(lengths, self._marks[-1].number)


class RowNumbers(Sampler[list[int]]):
    """The numbers of the rows, one after the other, as a batch sampler.

    Args:
        rows: How many there are.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return self._rows

    def __iter__(self) -> Iterator[list[int]]:
        return ([row] for row in range(self._rows))

    def set_epoch(self, epoch: int) -> None:
        """There is only one epoch, however often the data is read."""
