"""One of so many equal parts of a source, chosen by the seed: `datasets[].shards` and `shards_idx`.

The rows are those of `Dataset.shuffle(seed).shard(shards, index, contiguous=False)`; they stay in
the order of their files. Only a reader knows how many rows a file has, so it is read once more, to
count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from axolotl.data.rows import RowChunk
from axolotl.data.sources import Source


@dataclass(frozen=True)
class Shard:
    """One of the equal parts of all rows of some files.

    Args:
        sources: The files; their rows are shuffled together.
        shards: How many parts there are.
        seed: Seed of the shuffle.
        index: Which of the parts it is, from 0.
    """

    sources: Sequence[Source]
    shards: int
    seed: int
    index: int = 0

    @property
    def reason(self) -> str:
        """Why a row is left out."""
        which = f", shards_idx: {self.index}" if self.index else ""
        return f"left out by `shards: {self.shards}{which}`"

    def identity(self) -> list[Any]:
        """What decides the rows: all files, how many parts and which, the seed."""
        which = [self.shards, self.index]
        return [[source.identity() for source in self.sources], *which, self.seed]

    def chunks(self, source: Source) -> Iterator[RowChunk]:
        """The rows of one of the files that belong to the part; chunks without any are left out."""
        kept, before = self._kept[self.sources.index(source)], _rows_before(source)
        for chunk in source.chunks():
            first = chunk.first_row - 1 - before
            which = np.flatnonzero(kept[first : first + len(chunk.rows)]).tolist()
            if which:
                lines = None if chunk.lines is None else [chunk.lines[i] for i in which]
                rows = [chunk.rows[i] for i in which]
                numbers = [chunk.first_row + i for i in which]
                yield replace(chunk, rows=rows, lines=lines, picked=numbers)

    def left_out(self, source: Source) -> np.ndarray:
        """int64: the rows of one of the files that do not belong to the part, from 1."""
        kept = self._kept[self.sources.index(source)]
        return np.flatnonzero(~kept) + 1 + _rows_before(source)

    @cached_property
    def _kept(self) -> list[np.ndarray]:
        """For each file, whether each of its rows belongs to the part; bool."""
        counts = [source.count() for source in self.sources]
        kept = np.zeros(sum(counts), bool)
        shuffled = np.random.default_rng(self.seed).permutation(kept.size)
        kept[shuffled[self.index :: self.shards]] = True
        return np.split(kept, np.cumsum(counts)[:-1])


def _rows_before(source: Source) -> int:
    """How many rows of the file lie before those that are meant: it may be a slice of it."""
    first = next(source.chunks(), None)
    return first.first_row - 1 if first else 0
