"""Rows that are tokens already: columns `input_ids`, and mostly `attention_mask` and `labels`.

They pass unchanged, but for tokens that the mask takes out: a row is stored without padding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from axolotl.data.tokenize import TokenRows
from axolotl.errors import DataError
from axolotl.records import IGNORE_INDEX

COLUMNS = ("input_ids", "attention_mask", "labels")


def is_pretokenized(row: Mapping[str, Any], *, typed: bool) -> bool:
    """Whether a row is tokens already.

    Args:
        row: The first row of a source.
        typed: Whether the entry has a `type`; then all three columns must be there.
    """
    return all(name in row for name in COLUMNS) if typed else "input_ids" in row


class TokenBatch:
    """Pretokenized rows, gathered and checked.

    Args:
        vocabulary: Every id must be below it.

    Attributes:
        tokens: Tokens of all rows so far.
    """

    def __init__(self, vocabulary: int) -> None:
        self._vocabulary = vocabulary
        self._ids: list[np.ndarray] = []
        self._labels: list[np.ndarray] = []
        self.padded = 0
        self.tokens = 0

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, row: Mapping[str, Any]) -> None:
        """Take in one row.

        Raises:
            DataError: the columns do not fit together or an id is not in the vocabulary; without
                a place.
        """
        ids = _integers(row, "input_ids")
        labels = ids if row.get("labels") is None else _integers(row, "labels")
        mask = row.get("attention_mask")
        mask = np.ones_like(ids) if mask is None else _integers(row, "attention_mask")
        if not ids.size == labels.size == mask.size:
            raise DataError(
                f"input_ids, attention_mask and labels have {ids.size}, {mask.size} and "
                f"{labels.size} entries",
                hint="give all three the same length",
            )
        self._check(ids, labels, mask)
        if not mask.all():
            self.padded += 1
            ids, labels = ids[mask == 1], labels[mask == 1]
        self.tokens += ids.size
        self._ids.append(ids.astype(np.int32))
        self._labels.append(labels.astype(np.int32))

    def rows(self) -> TokenRows:
        """All rows so far."""
        offsets = np.concatenate(([0], np.cumsum([ids.size for ids in self._ids], dtype=np.int64)))
        none = np.empty(0, np.int32)
        return TokenRows(
            np.concatenate([none, *self._ids]),
            np.concatenate([none, *self._labels]),
            offsets,
            np.arange(len(self)),
        )

    def _check(self, ids: np.ndarray, labels: np.ndarray, mask: np.ndarray) -> None:
        outside = ids[(ids < 0) | (ids >= self._vocabulary)]
        if outside.size:
            raise DataError(
                f"input_ids holds {outside[0]}, but the tokenizer has ids 0 to {self._vocabulary - 1}",
                hint="prepare the rows with the tokenizer of base_model",
            )
        trained = labels != IGNORE_INDEX
        wrong = labels[trained & ((labels < 0) | (labels >= self._vocabulary))]
        if wrong.size:
            raise DataError(
                f"labels holds {wrong[0]}, which is neither an id nor {IGNORE_INDEX}",
                hint=f"write {IGNORE_INDEX} where nothing is to be learned",
            )
        if ((mask != 0) & (mask != 1)).any():
            raise DataError(
                "attention_mask holds something else than 0 and 1",
                hint="rows that are packed already cannot be used: give one sample a row",
            )
        if (trained & (mask == 0)).any():
            raise DataError(
                "a token that attention_mask takes out has a label",
                hint=f"write {IGNORE_INDEX} as the label of padding",
            )


def _integers(row: Mapping[str, Any], name: str) -> np.ndarray:
    value = row.get(name)
    try:
        found = np.asarray(value)
    except ValueError:
        found = np.empty((0, 0))
    if isinstance(value, list) and found.ndim == 1:
        if not found.size:
            return np.empty(0, np.int64)
        if found.dtype.kind == "i":
            return found
    raise DataError(f"'{name}' is not a list of whole numbers", hint="write it as [1, 2, 3]")
