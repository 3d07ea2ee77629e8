"""Rows out of a stream: each sample once, the same after a resume, shared out to the processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from axolotl.data.stream import LanePosition, Position
from axolotl.packing.plan import PackPlan, plan_packed, plan_rows
from axolotl.records import TokenRow
from axolotl.training.streaming import BufferMark, RowNumbers, StreamedRows

CAPACITY = 32


class Numbers:
    """Samples that are their own number, of different lengths; read ten at a time."""

    def __init__(self, position: Position | None) -> None:
        self.row = position[0].row if position else 0
        self.dropped: dict[str, int] = {}

    @property
    def position(self) -> Position:
        return (LanePosition(row=self.row, rows=self.row),)

    def take(self, samples: int) -> list[TokenRow]:
        begin = self.row
        while self.row - begin < samples:
            self.row += 10
        return [
            TokenRow(np.full(1 + number % 7, number), np.full(1 + number % 7, number))
            for number in range(begin, self.row)
        ]


def packed(lengths: np.ndarray, number: int, world_size: int = 1) -> PackPlan:
    return plan_packed(
        lengths, capacity_tokens=CAPACITY, seed=1, epoch=number, world_size=world_size
    )


def opened(start: BufferMark | None = None, rank: int = 0, world_size: int = 1) -> StreamedRows:
    open_stream: Any = Numbers
    return StreamedRows(
        open_stream,
        lambda lengths, number: packed(lengths, number, world_size),
        buffer_samples=35,
        rank=rank,
        rows=60,
        start=start,
    )


def numbers(rows: list[TokenRow]) -> list[int]:
    return [int(row.input_ids[0]) for row in rows]


def test_every_sample_is_in_one_row_and_rows_are_full() -> None:
    data = opened()
    rows = [data[i] for i in range(40)]
    seen = [number for row in rows for number in numbers(row)]
    assert len(seen) == len(set(seen))
    buffers = len({number // 40 for number in seen})
    assert set(range(40 * (buffers - 1))) <= set(seen)
    tokens = [sum(row.input_ids.size for row in samples) for samples in rows]
    assert max(tokens) <= CAPACITY
    assert np.mean(tokens) > 0.85 * CAPACITY


@pytest.mark.parametrize("done", [0, 1, 4, 5, 13, 27, 39])
def test_reading_goes_on_from_a_mark(done: int, tmp_path: Path) -> None:
    whole = opened()
    expected = [numbers(whole[i]) for i in range(40)]
    first = opened()
    for i in range(done):
        first[i]
    first.mark(done).write(tmp_path)
    mark = BufferMark.read(tmp_path)
    assert mark is not None
    again = opened(mark)
    assert [numbers(again[i]) for i in range(done, 40)] == expected[done:]
    assert [numbers(opened()[i]) for i in [39]] == expected[39:], (
        "without a mark it reads up to there"
    )


def test_a_mark_is_that_of_the_rows_buffer() -> None:
    data = opened()
    for i in range(20):
        data[i]
    second = data.mark(19)
    assert 0 < second.first_row <= 19
    assert second.number > 0
    assert opened().mark(0) == BufferMark(0, 0, Numbers(None).position)


def test_a_mark_behind_a_buffer_is_the_beginning_of_the_next() -> None:
    data = opened()
    data[0]
    rows = next(i for i in range(1, 40) if data[i] and data.mark(i).number == 1)
    fresh = opened()
    for i in range(rows):
        fresh[i]
    assert fresh.mark(rows).number == 1, "not read yet, but known"


def test_processes_share_the_rows() -> None:
    ranks = [opened(rank=rank, world_size=2) for rank in range(2)]
    seen = [numbers(data[i]) for i in range(10) for data in ranks]
    flat = [number for row in seen for number in row]
    assert len(flat) == len(set(flat))
    assert set(range(40)) <= set(flat)


def test_rows_are_numbered_once() -> None:
    sampler = RowNumbers(3)
    sampler.set_epoch(4)
    assert (list(sampler), len(sampler)) == ([[0], [1], [2]], 3)


def test_a_damaged_mark_is_none(tmp_path: Path) -> None:
    assert BufferMark.read(tmp_path) is None
    (tmp_path / "stream.json").write_text('{"buffer": 1, "position": [{"lapp": 1}]}')
    assert BufferMark.read(tmp_path) is None


def test_rows_of_a_fixed_number_of_samples() -> None:
    open_stream: Any = Numbers
    data = StreamedRows(
        open_stream,
        lambda lengths, number: plan_rows(lengths, rows_per_batch=4, seed=1, epoch=number),
        buffer_samples=20,
        rank=0,
        rows=30,
    )
    assert {len(data[i]) for i in range(10)} == {4}
