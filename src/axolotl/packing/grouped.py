"""Rows of samples of similar length, in a random order, the longest row first.

The order is shuffled, cut into pieces of some fifty steps, and each piece is sorted by length: so
samples of a row are of similar length, and yet other ones in every epoch. That the longest sample is
in the first row lets a lack of memory show at once. A million samples take half a second.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from axolotl.packing.plan import PackPlan, checked, reorder, split_for_ranks, with_empty_rows
from axolotl.packing.shuffle import ROWS, permutation

_STEPS_IN_PIECE = 50
_PIECES = 2
"""At least so many pieces are made of few samples, or there would be but one order."""


def plan_grouped(
    lengths: ArrayLike, *, rows_per_batch: int, seed: int, epoch: int, world_size: int = 1
) -> PackPlan:
    """Rows of exactly `rows_per_batch` samples of similar length; one may have fewer.

    The rows that several processes have at the same step are of similar length too, so that none
    waits long for the others.

    Args:
        lengths: Tokens of each sample; integers, shape (N,).
        rows_per_batch: Samples of a row.
        seed: Seed of the order.
        epoch: Number of the epoch, from 0.
        world_size: Number of processes.

    Raises:
        DataError: a sample is empty, or there are none.

    >>> plan = plan_grouped([6, 1, 9, 2, 8, 7, 3, 1], rows_per_batch=2, seed=42, epoch=0)
    >>> [plan.bin(0, step).tolist() for step in range(plan.steps)]
    [[2, 5], [7, 1], [6, 3], [4, 0]]
    """
    assert rows_per_batch > 0, f"{rows_per_batch} samples in a row"
    tokens = checked(lengths)
    count, of_step = tokens.size, rows_per_batch * world_size
    shuffled = permutation(count, seed=seed, epoch=epoch)
    steps = -(-count // of_step)
    piece = np.arange(count) // (of_step * max(1, min(steps // _PIECES, _STEPS_IN_PIECE)))
    indices = shuffled[np.lexsort((-tokens[shuffled], piece))]
    offsets = np.append(np.arange(0, count, rows_per_batch), count)
    offsets = split_for_ranks(offsets, world_size)
    order = _order(tokens[indices], offsets, seed=seed, epoch=epoch, world_size=world_size)
    indices, offsets = reorder(indices, offsets, order)
    return PackPlan(
        indices,
        with_empty_rows(offsets, world_size),
        tokens=int(tokens.sum()),
        world_size=world_size,
    )


def _order(
    tokens: np.ndarray, offsets: np.ndarray, *, seed: int, epoch: int, world_size: int
) -> np.ndarray:
    """The rows, those of one step together, beginning with the step of the longest sample."""
    rows = offsets.size - 1
    of_longest = int(np.searchsorted(offsets, int(tokens.argmax()), side="right")) - 1
    steps = permutation(-(-rows // world_size), seed=seed, epoch=epoch, what=ROWS)
    first = of_longest // world_size
    steps = np.concatenate(([first], steps[steps != first]))
    numbers = (steps[:, None] * world_size + np.arange(world_size)).ravel()
    return numbers[numbers < rows]
