"""Tokenized rows with the rows they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from axolotl.data.tokenize import TokenRows

BATCH_ROWS = 4000
BATCH_CHARACTERS = 4_000_000
BATCH_TOKENS = 500_000


@dataclass(frozen=True, slots=True)
class Batch:
    """Tokenized rows of one part, with the rows they come from.

    Args:
        tokens: The rows, of any length.
        rows: The source rows.
        numbers: int64: the row of the file that each source row is, from 1.
        control: Indices of the source rows whose own text gave a special token.
        padded: Number of pretokenized rows that lost padding.
        pretokenized: Whether the rows were tokens already.
        bad: Rows that were left out on the way here: number in the file, and what is wrong.
        remarks: What the format has to say of rows that are used: number in the file, and what.
    """

    tokens: TokenRows
    rows: Sequence[Mapping[str, Any]]
    numbers: np.ndarray
    control: np.ndarray
    padded: int = 0
    pretokenized: bool = False
    bad: tuple[tuple[int, str], ...] = ()
    remarks: tuple[tuple[int, str], ...] = ()


def only_bad(bad: tuple[tuple[int, str], ...]) -> Batch:
    """A batch without rows, of which some were left out."""
    none = np.empty(0, np.int64)
    ids = np.empty(0, np.int32)
    return Batch(TokenRows(ids, ids, np.zeros(1, np.int64), none), [], none, none, bad=bad)
