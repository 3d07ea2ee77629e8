"""Which tokens of a batch are landmarks, where its documents lie, and how they are cut into blocks.

B rows, K keys (tokens seen so far), T tokens that ask (the last of them).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch

PADDING, ORDINARY, LANDMARK = 0, 1, 2
"""What a token is."""


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Which blocks a query may read while an answer is made.

    Args:
        window_blocks: The blocks that are always read, its own among them.
        top_blocks: How many of the older ones it reads: those whose landmarks fit it best, for each
            head by itself.
    """

    window_blocks: int
    top_blocks: int


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a batch.

    Args:
        row: Its row.
        begin: Its first token in that row.
        end: Behind its last token.
        landmarks: Places of its landmarks, counted from its begin. Each ends a block of at least one
            other token: a landmark that would end an empty one is a token like others.
    """

    row: int
    begin: int
    end: int
    landmarks: tuple[int, ...] = ()

    def __len__(self) -> int:
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class Layout:
    """All that attention has to know of a batch.

    Args:
        documents: Its documents; what lies in none is padding.
        keys: K, for a check.
        retrieval: Which blocks may be read; None for all of them.
    """

    documents: tuple[Document, ...]
    keys: int
    retrieval: Retrieval | None = None


def layout_of(
    kinds: torch.Tensor, position_ids: torch.Tensor | None, retrieval: Retrieval | None = None
) -> Layout:
    """Documents and landmarks of a batch.

    Args:
        kinds: What each token is, integers, (B, K). Padding stands before or behind the others.
        position_ids: (B or 1, T); where T is K, a document begins at every 0. None for one document
            in a row.
        retrieval: Which blocks may be read.
    """
    import numpy as np

    table = kinds.cpu().numpy()
    rows, keys = table.shape
    positions = None
    if position_ids is not None and position_ids.shape[-1] == keys:
        positions = np.broadcast_to(position_ids.cpu().numpy(), (rows, keys))
    documents = [
        Document(row, begin, end, _ends_of_blocks(table[row, begin:end] == LANDMARK))
        for row in range(rows)
        for begin, end in _documents(table[row], None if positions is None else positions[row])
    ]
    return Layout(tuple(documents), keys, retrieval)


def _documents(kinds: np.ndarray, positions: np.ndarray | None) -> Iterator[tuple[int, int]]:
    """Begin and end of each document of a row."""
    import numpy as np

    there = np.flatnonzero(kinds != PADDING)
    if not there.size:
        return
    first, last = int(there[0]), int(there[-1]) + 1
    starts = [first]
    if positions is not None:
        starts += [first + int(p) for p in np.flatnonzero(positions[first:last] == 0) if p]
    yield from zip(starts, [*starts[1:], last], strict=True)


def _ends_of_blocks(landmarks: np.ndarray) -> tuple[int, ...]:
    """Places of the landmarks that end a block with something in it."""
    import numpy as np

    found: list[int] = []
    begin = 0
    for place in np.flatnonzero(landmarks).tolist():
        if place > begin:
            found.append(place)
            begin = place + 1
    return tuple(found)


def blocks_of(landmarks: Sequence[int]) -> list[tuple[int, int]]:
    """Begin and end of the ordinary tokens of each block that a landmark ends.

    >>> blocks_of([3, 6])
    [(0, 3), (4, 6)]
    """
    begins = [0, *(place + 1 for place in landmarks[:-1])]
    return list(zip(begins, landmarks, strict=True))
