"""Which rows train and which are held out: index arithmetic on top of a store, never stored."""

from __future__ import annotations

import math

import numpy as np

from axolotl.errors import DataError


def split_rows(
    order: np.ndarray, *, val_set_size: float, part: tuple[int, int] = (0, 1)
) -> tuple[np.ndarray, np.ndarray]:
    """The rows to train on and those held out, int64, in their order; none is in both.

    Args:
        order: Numbers of all rows, in the order in which they are dealt out.
        val_set_size: Share of the rows, below 1, rounded up; or their number; 0 for none.
        part: Which part of the rows, from 0, and of how many; row by row they are dealt out to the
            parts, and the last rows of the part are held out.

    Raises:
        DataError: no row would be left to train on.

    >>> split_rows(np.arange(5), val_set_size=0.3)
    (array([0, 1, 2]), array([3, 4]))
    >>> split_rows(np.arange(9), val_set_size=1, part=(1, 3))
    (array([1, 4]), array([7]))
    """
    index, parts = part
    mine = order[index::parts]
    if parts > 1 and not mine.size:
        raise DataError(
            f"{order.size} rows are too few for {parts} parts",
            where="dataset_shard_num",
            hint=f"part {index} would be empty; make fewer parts",
        )
    count = mine.size
    held_out = held_out_rows(count, val_set_size)
    if held_out >= count:
        raise DataError(
            f"{held_out} of {count} rows would be held out and none left to train on",
            where=f"val_set_size: {val_set_size:g}",
            hint=f"write a share such as 0.05, or a number below {count}; 0 holds out none",
        )
    return mine[: count - held_out], mine[count - held_out :]


def held_out_rows(count: int, val_set_size: float) -> int:
    """How many of `count` rows are held out.

    >>> held_out_rows(100, 0.07), held_out_rows(420, 40)
    (7, 40)
    """
    if 0 < val_set_size < 1:
        return math.ceil(round(count * val_set_size, 9))  # 100 * 0.07 is a little above 7
    return int(val_set_size)
