"""Rows that are equal in all tokens and labels, within one store and across two.

Rows of equal hash are candidates; only these are read, one by one, and compared token by token. So
memory holds a few numbers for each row, whatever its length.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np

from axolotl.data.store import StoreFiles, TokenStore
from axolotl.records import TokenRow

RowSet = tuple[StoreFiles, np.ndarray]
"""A store and numbers of rows of it, int64."""
_ODD = np.uint64(0x9E3779B97F4A7C15)


def first_equals(sets: Sequence[RowSet]) -> np.ndarray:
    """For each row the first one that is equal to it.

    Args:
        sets: Rows, set after set; they are counted through from 0.

    Returns:
        int64, one for each row: the place of the first equal row; its own where none is before it.
    """
    keys = np.concatenate([_keys(files.rows, numbers) for files, numbers in sets])
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order], prepend=~keys[order[:1]]))
    sizes = np.diff(starts, append=keys.size)
    first = np.arange(keys.size)
    several = sizes > 1
    if several.any():
        reader = _Reader(sets)
        for start, size in zip(starts[several].tolist(), sizes[several].tolist(), strict=True):
            _compare(reader, order[start : start + size].tolist(), first)
    return first


def _keys(rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Equal for equal rows: the hash of the ids, and the checksum of ids and labels."""
    return rows["hash"][numbers] + rows["check"][numbers].astype(np.uint64) * _ODD


def _compare(reader: _Reader, places: list[int], first: np.ndarray) -> None:
    """Hold rows against those before them that differ from one another; `places` ascend."""
    different: list[tuple[int, TokenRow]] = []
    for place in places:
        row = reader.row(place)
        same = next((at for at, other in different if _equal(row, other)), None)
        if same is None:
            different.append((place, row))
        else:
            first[place] = same


def _equal(row: TokenRow, other: TokenRow) -> bool:
    return np.array_equal(row.input_ids, other.input_ids) and np.array_equal(
        row.labels, other.labels
    )


class _Reader:
    """Rows of several sets, counted through."""

    def __init__(self, sets: Sequence[RowSet]) -> None:
        self._stores = [TokenStore(files.folder, numbers) for files, numbers in sets]
        self._starts = [0, *np.cumsum([len(store) for store in self._stores]).tolist()]

    def row(self, place: int) -> TokenRow:
        number = bisect_right(self._starts, place) - 1
        return self._stores[number][place - self._starts[number]]
