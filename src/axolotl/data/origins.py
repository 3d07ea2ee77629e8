"""Where the rows of a store come from, in the words of its user."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from axolotl.data.rows import row_place
from axolotl.data.store import TokenStore


def row_origins(store: TokenStore, numbers: Iterable[int], files: Sequence[str]) -> list[str]:
    """Source rows of some rows of a store, such as `data.jsonl row 17`.

    Args:
        store: The rows.
        numbers: Which of them.
        files: What the source files are called, in the order in which the store was made.
    """
    # Read when it is asked for, which is when something has gone wrong.
    rows = np.load(store.folder / "rows.npy", mmap_mode="r", allow_pickle=False)
    found: list[tuple[int, int]] = rows[store.indices[list(numbers)]][["source", "row"]].tolist()
    return [row_place(files[source], row) for source, row in found]


def origins_in(store: Any, numbers: Sequence[int]) -> list[str]:
    """Source rows of some rows of a store that knows its files; none of another one.

    Args:
        store: The rows.
        numbers: Which of them.
    """
    known = isinstance(store, TokenStore) and store.files and numbers
    return row_origins(store, numbers, store.files) if known else []
