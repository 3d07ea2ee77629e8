"""Which samples share a row, and which process gets which row at which step.

A function of (lengths, capacity, seed, epoch, number of processes); no sample is read. Every sample
is in exactly one row of exactly one process. The number of rows does not depend on the epoch, and is
the same for every process. Rows are the same, and in the same order, for any number of processes:
only in the last step, where there are too few, are rows cut in two or left without samples. So N
processes train in a step what one process trains with N times as many accumulated rows. A million
samples take about a quarter of a second, in their order one.

Rows are packed by best-fit-decreasing: samples of nearly equal length tend to share a row. Which of
several samples of one length goes where, and the order of the rows, change with the epoch. Where the
order counts, rows are filled with one sample after the other instead, and more room stays free.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from axolotl.errors import DataError
from axolotl.packing.fill import best_fit_bins, next_fit_offsets
from axolotl.packing.shuffle import ROWS, SAMPLES, permutation

_TRIED_EPOCHS = 4
"""How many orders decide how many rows an epoch has, where that depends on the order."""
_FURTHER_ORDERS = range(ROWS + 1, ROWS + 100)
"""More orders of one epoch."""


@dataclass(frozen=True, eq=False)
class PackPlan:
    """The rows of one epoch, in the order in which they are trained.

    Rows are numbered over all processes: row `step * world_size + rank` belongs to `rank` at `step`.
    A row without samples stands for a step in which a process has nothing to do.

    Args:
        indices: int64, sample numbers, row after row; read-only.
        offsets: int64, shape (bins + 1,): where each row begins in `indices`; read-only.
        tokens: Tokens of all samples.
        world_size: Number of processes.
        capacity_tokens: Most tokens that a row may hold; None where rows hold a number of samples.
    """

    indices: np.ndarray = field(repr=False)
    offsets: np.ndarray = field(repr=False)
    tokens: int
    world_size: int = 1
    capacity_tokens: int | None = None

    def __post_init__(self) -> None:
        self.indices.setflags(write=False)
        self.offsets.setflags(write=False)
        assert self.offsets[-1] == self.indices.size, "rows lost samples"
        assert self.bins % self.world_size == 0, "processes have different numbers of rows"

    @property
    def bins(self) -> int:
        """Number of rows of all processes, rows without samples included."""
        return self.offsets.size - 1

    @property
    def steps(self) -> int:
        """Number of rows of each process."""
        return self.bins // self.world_size

    @property
    def samples(self) -> int:
        """Number of samples; each is in one row."""
        return self.indices.size

    @property
    def efficiency(self) -> float:
        """Share of the capacity of all rows that is filled; 1 where rows have no capacity to fill."""
        if self.capacity_tokens is None:
            return 1.0
        return self.tokens / (self.bins * self.capacity_tokens)

    def bin(self, rank: int, step: int) -> np.ndarray:
        """Sample numbers of a row, int64; empty if the process has nothing to do at that step.

        Raises:
            IndexError: there is no such process or step.
        """
        if not (0 <= rank < self.world_size and 0 <= step < self.steps):
            raise IndexError(
                f"rank {rank}, step {step}: there are {self.world_size} ranks of {self.steps} steps"
            )
        at = step * self.world_size + rank
        return self.indices[self.offsets[at] : self.offsets[at + 1]]


def plan_packed(
    lengths: ArrayLike, *, capacity_tokens: int, seed: int, epoch: int, world_size: int = 1
) -> PackPlan:
    """Fill rows of up to `capacity_tokens` with whole samples.

    Args:
        lengths: Tokens of each sample; integers, shape (N,).
        capacity_tokens: Most tokens of a row: `micro_batch_size` times `sequence_len`.
        seed: Seed of the order.
        epoch: Number of the epoch, from 0.
        world_size: Number of processes.

    Raises:
        DataError: a sample is empty or longer than a row, or there are none.

    Five samples in rows of 10 tokens; samples 1 and 2 have the same length and change places:

    >>> def rows(epoch):
    ...     plan = plan_packed([6, 4, 4, 5, 2], capacity_tokens=10, seed=42, epoch=epoch)
    ...     return [plan.bin(0, step).tolist() for step in range(plan.steps)]
    >>> rows(0), rows(1)
    ([[0, 2], [3, 1], [4]], [[4], [3, 2], [0, 1]])
    """
    tokens = checked(lengths, capacity_tokens=capacity_tokens)
    shuffled = permutation(tokens.size, seed=seed, epoch=epoch)
    longest_first = shuffled[np.argsort(-tokens[shuffled], kind="stable")]
    distinct, counts = np.unique(tokens, return_counts=True)
    bins = best_fit_bins(
        distinct[::-1].tolist(), counts[::-1].tolist(), capacity_tokens=capacity_tokens
    )
    indices = longest_first[np.argsort(bins, kind="stable")]
    offsets = _offsets(np.bincount(bins))
    order = permutation(offsets.size - 1, seed=seed, epoch=epoch, what=ROWS)
    indices, offsets = reorder(indices, offsets, order)
    return PackPlan(
        indices,
        whole_steps(offsets, world_size),
        tokens=int(tokens.sum()),
        world_size=world_size,
        capacity_tokens=capacity_tokens,
    )


def plan_sequential(
    lengths: ArrayLike,
    *,
    capacity_tokens: int,
    seed: int,
    epoch: int,
    world_size: int = 1,
    shuffle: bool = True,
) -> PackPlan:
    """Fill rows of up to `capacity_tokens` with one sample after the other (next-fit).

    A row ends where the next sample does not fit, so how many rows there are depends on the order.
    So that all epochs have as many, it is the most that any of the first four needs. An epoch in
    whose order more are needed takes another order; where fewer are, the rows with the most samples
    are cut in two.

    Args:
        lengths: Tokens of each sample; integers, shape (N,).
        capacity_tokens: Most tokens of a row: `micro_batch_size` times `sequence_len`.
        seed: Seed of the order.
        epoch: Number of the epoch, from 0.
        world_size: Number of processes.
        shuffle: Whether the samples are shuffled first; otherwise they come as they are, in every
            epoch.

    Raises:
        DataError: a sample is empty or longer than a row, or there are none.

    >>> plan = plan_sequential(
    ...     [6, 4, 4, 5, 2], capacity_tokens=10, seed=42, epoch=0, shuffle=False
    ... )
    >>> [plan.bin(0, step).tolist() for step in range(plan.steps)]
    [[0, 1], [2, 3], [4]]
    """
    tokens = checked(lengths, capacity_tokens=capacity_tokens)
    indices = np.arange(tokens.size)
    offsets = next_fit_offsets(tokens, capacity_tokens=capacity_tokens)
    if shuffle:
        indices, offsets = _shuffled_rows(tokens, capacity_tokens, seed=seed, epoch=epoch)
    return PackPlan(
        indices,
        whole_steps(offsets, world_size),
        tokens=int(tokens.sum()),
        world_size=world_size,
        capacity_tokens=capacity_tokens,
    )


def _shuffled_rows(
    tokens: np.ndarray, capacity_tokens: int, *, seed: int, epoch: int
) -> tuple[np.ndarray, np.ndarray]:
    """An order of the samples and the rows that it fills, as many in every epoch."""

    def rows(epoch: int, what: int = SAMPLES) -> tuple[np.ndarray, np.ndarray]:
        order = permutation(tokens.size, seed=seed, epoch=epoch, what=what)
        return order, next_fit_offsets(tokens[order], capacity_tokens=capacity_tokens)

    tried = [rows(number) for number in range(_TRIED_EPOCHS)]
    most = max(offsets.size for _, offsets in tried)
    order, offsets = tried[epoch] if epoch < _TRIED_EPOCHS else rows(epoch)
    # One order in five needs more rows than four others do.
    for what in _FURTHER_ORDERS:
        if offsets.size <= most:
            break
        order, offsets = rows(epoch, what)
    else:
        order, offsets = tried[epoch % _TRIED_EPOCHS]
    return order, _cut_rows(offsets, most - offsets.size)


def plan_rows(
    lengths: ArrayLike,
    *,
    rows_per_batch: int,
    seed: int,
    epoch: int,
    world_size: int = 1,
    shuffle: bool = True,
) -> PackPlan:
    """Rows of exactly `rows_per_batch` samples; the last may have fewer.

    Args:
        lengths: Tokens of each sample; integers, shape (N,).
        rows_per_batch: Samples of a row.
        seed: Seed of the order.
        epoch: Number of the epoch, from 0.
        world_size: Number of processes.
        shuffle: Whether the order is shuffled; otherwise the samples come as they are.

    Raises:
        DataError: a sample is empty, or there are none.

    >>> plan = plan_rows([6, 4, 4, 5, 2], rows_per_batch=2, seed=42, epoch=0, shuffle=False)
    >>> [plan.bin(0, step).tolist() for step in range(plan.steps)]
    [[0, 1], [2, 3], [4]]

    Two processes need an even number of rows, so the last is cut in two:

    >>> plan = plan_rows(
    ...     [6, 4, 4, 5, 2, 3], rows_per_batch=2, seed=42, epoch=0, world_size=2, shuffle=False
    ... )
    >>> [[plan.bin(rank, step).tolist() for step in range(plan.steps)] for rank in range(2)]
    [[[0, 1], [4]], [[2, 3], [5]]]
    """
    assert rows_per_batch > 0, f"{rows_per_batch} samples in a row"
    tokens = checked(lengths)
    count = tokens.size
    indices = permutation(count, seed=seed, epoch=epoch) if shuffle else np.arange(count)
    offsets = np.append(np.arange(0, count, rows_per_batch), count)
    return PackPlan(
        indices.astype(np.int64, copy=False),
        whole_steps(offsets, world_size),
        tokens=int(tokens.sum()),
        world_size=world_size,
    )


def checked(lengths: ArrayLike, *, capacity_tokens: int | None = None) -> np.ndarray:
    """The lengths as int64.

    Raises:
        DataError: a sample is empty or longer than `capacity_tokens`, or there are none.
    """
    given = np.asarray(lengths)
    if given.size == 0:
        raise DataError("there are no samples to plan rows for")
    tokens = given.astype(np.int64, casting="safe")
    shortest, longest = int(tokens.argmin()), int(tokens.argmax())
    if tokens[shortest] < 1:
        raise DataError(f"it has {tokens[shortest]} tokens", where=f"sample {shortest}")
    if capacity_tokens is not None and tokens[longest] > capacity_tokens:
        raise DataError(
            f"its {tokens[longest]:,} tokens do not fit into a row of {capacity_tokens:,}",
            where=f"sample {longest}",
            hint="raise `sequence_len` or `micro_batch_size`; a row holds as many tokens as their product",
        )
    return tokens


def _offsets(sizes: np.ndarray) -> np.ndarray:
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)))


def split_for_ranks(offsets: np.ndarray, world_size: int) -> np.ndarray:
    """Cut rows in two until every process gets as many, as far as there are rows to cut."""
    return _cut_rows(offsets, -(offsets.size - 1) % world_size)


def whole_steps(offsets: np.ndarray, world_size: int) -> np.ndarray:
    """Give every process a row in the last step too: its rows are cut in two, or some stay empty.

    No other step is touched: each has the rows that one process would accumulate.

    >>> whole_steps(np.array([0, 2, 4, 6]), 2).tolist()
    [0, 2, 4, 5, 6]
    """
    last = (offsets.size - 1) // world_size * world_size
    tail = (
        split_for_ranks(offsets[last:], world_size) if last < offsets.size - 1 else offsets[last:]
    )
    return with_empty_rows(np.append(offsets[:last], tail), world_size)


def _cut_rows(offsets: np.ndarray, missing: int) -> np.ndarray:
    """Cut rows in two until there are so many more, as far as there are rows to cut.

    The row with the most samples is cut, of several the last; how many have how many samples is all
    that decides it.
    """
    sizes = np.diff(offsets)
    # Fewer rows are cut than are missing, so no others can be among those with the most samples.
    largest = np.argsort(sizes, kind="stable")[::-1][:missing]
    heap = [(-int(sizes[row]), -int(offsets[row])) for row in largest]
    heapq.heapify(heap)
    cuts: list[int] = []
    while heap and len(cuts) < missing and heap[0][0] < -1:
        size, start = (-value for value in heapq.heappop(heap))
        kept = (size + 1) // 2
        cuts.append(start + kept)
        heapq.heappush(heap, (-kept, -start))
        heapq.heappush(heap, (kept - size, -(start + kept)))
    return np.sort(np.append(offsets, cuts)).astype(np.int64)


def with_empty_rows(offsets: np.ndarray, world_size: int) -> np.ndarray:
    """Fill up the last step where there are not enough samples for a row each."""
    missing = -(offsets.size - 1) % world_size
    return np.append(offsets, np.full(missing, offsets[-1], np.int64))


def reorder(
    indices: np.ndarray, offsets: np.ndarray, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The same rows in another order."""
    sizes = np.diff(offsets)[order]
    new_offsets = _offsets(sizes)
    moved = np.repeat(offsets[:-1][order] - new_offsets[:-1], sizes) + np.arange(indices.size)
    return indices[moved], new_offsets
