"""Best-fit-decreasing bin packing by groups of equal length, and next-fit in a given order.

For the first, longest first, each item goes into the bin with the least room that still holds it; a new bin is
opened when there is none. Items of one length, and bins of one room, are interchangeable, so whole
runs of bins are filled at a time: the work grows with the number of different lengths, not of items.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable

import numpy as np

Run = tuple[int, int]
"""First bin and number of bins, numbered one after the other."""


def best_fit_bins(
    lengths: Iterable[int], counts: Iterable[int], *, capacity_tokens: int
) -> np.ndarray:
    """Pack `counts[i]` items of `lengths[i]` tokens.

    Args:
        lengths: Distinct lengths, longest first, from 1 to `capacity_tokens`.
        counts: How many items there are of each.
        capacity_tokens: Tokens of a bin.

    Returns:
        int64: bin of each item, items in the order of `lengths`. Bins are numbered as they are
        opened.

    With room for 10, 6 and one 4 fill the first bin; 5 and the other 4 share the second, whose last
    place stays free; the last bin takes the 2:

    >>> best_fit_bins([6, 5, 4, 2], [1, 1, 2, 1], capacity_tokens=10)
    array([0, 1, 0, 1, 2])
    """
    bins = _OpenBins(capacity_tokens)
    for length, count in zip(lengths, counts, strict=True):
        bins.place(length, count)
    first, width, each = np.array(bins.placements, np.int64).reshape(-1, 3).T
    ramp = np.arange(width.sum()) - np.repeat(np.cumsum(width) - width, width)
    return np.repeat(np.repeat(first, width) + ramp, np.repeat(each, width))


def next_fit_offsets(lengths: np.ndarray, *, capacity_tokens: int) -> np.ndarray:
    """Fill one bin after the other with items in their order.

    Args:
        lengths: int64, shape (N,): tokens of each item, from 1 to `capacity_tokens`.
        capacity_tokens: Tokens of a bin.

    Returns:
        int64, shape (bins + 1,): the first item of each bin, and N.

    >>> next_fit_offsets(np.array([6, 4, 4, 5, 2]), capacity_tokens=10)
    array([0, 2, 4, 5])
    """
    ends = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)))
    # For each item: the first one that is not in its bin, if it were the first of that bin.
    following = (np.searchsorted(ends, ends[:-1] + capacity_tokens, side="right") - 1).tolist()
    offsets = [0]
    while offsets[-1] < len(following):
        offsets.append(following[offsets[-1]])
    return np.array(offsets, np.int64)


class _OpenBins:
    """Bins by the room left in them.

    `rooms` is sorted and lists the keys of `runs`. A placement is (first bin, bins, items in each).
    """

    def __init__(self, capacity_tokens: int) -> None:
        self.capacity_tokens = capacity_tokens
        self.opened = 0
        self.rooms: list[int] = []
        self.runs: dict[int, list[Run]] = {}
        self.placements: list[tuple[int, int, int]] = []

    def place(self, length: int, count: int) -> None:
        """Put `count` items of `length` tokens where they fit best."""
        while count:
            at = bisect_left(self.rooms, length)
            if at == len(self.rooms):
                needed = -(-count // (self.capacity_tokens // length))
                self._add(self.capacity_tokens, (self.opened, needed))
                self.opened += needed
            count = self._fill(self.rooms[at], length, count)

    def _fill(self, room: int, length: int, count: int) -> int:
        """Fill bins with `room` tokens left; returns how many items remain.

        A bin that takes one item and could take another is then the one that fits best: it gets as
        many as it holds before the next one gets any.
        """
        runs = self.runs[room]
        per_bin = room // length
        while count and runs:
            first, width = runs.pop()
            full = min(width, count // per_bin)
            used = full
            if full:
                self._put((first, full), per_bin, room - per_bin * length)
                count -= full * per_bin
            if used < width and count:
                self._put((first + used, 1), count, room - count * length)
                count, used = 0, used + 1
            if used < width:
                runs.append((first + used, width - used))
        if not runs:
            del self.runs[room]
            del self.rooms[bisect_left(self.rooms, room)]
        return count

    def _put(self, run: Run, items: int, room_left: int) -> None:
        self.placements.append((*run, items))
        if room_left:
            self._add(room_left, run)

    def _add(self, room: int, run: Run) -> None:
        if room not in self.runs:
            self.runs[room] = []
            insort(self.rooms, room)
        self.runs[room].append(run)
