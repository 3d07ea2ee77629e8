"""Landmarks in the data: a token behind every so many others of a sample.

They are put in when a sample has its final length, so counting begins anew in each. `sequence_len`
counts them: a sample may have fewer other tokens.

N rows, T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from axolotl.attention.landmark import BLOCK_TOKENS, TOKEN
from axolotl.config import Sections
from axolotl.errors import ModelError
from axolotl.records import IGNORE_INDEX

if TYPE_CHECKING:
    from axolotl.data.encoder import Encoder


@dataclass(frozen=True, slots=True)
class Blocks:
    """How samples are cut into blocks.

    Args:
        token_id: Number of the landmark.
        block_tokens: A landmark stands behind so many others.
    """

    token_id: int
    block_tokens: int = BLOCK_TOKENS

    @classmethod
    def of(cls, options: Sections, encoder: Encoder) -> Blocks | None:
        """Those that a file asks for; None for none.

        Raises:
            ModelError: the tokenizer has no landmark.
        """
        if not options.attention.landmark_attention:
            return None
        for number, text in encoder.control_tokens.items():
            if text == TOKEN:
                return cls(number)
        raise ModelError(
            f"the tokenizer has no special token '{TOKEN}'",
            where="landmark_attention",
            hint="load the tokenizer with this file's options",
        )

    def room(self, capacity_tokens: int) -> int:
        """How many other tokens fit into a sample of so many tokens.

        >>> [Blocks(9, block_tokens=3).room(n) for n in (2, 3, 4, 5, 8)]
        [2, 2, 3, 4, 6]
        """
        return capacity_tokens - (capacity_tokens + 1) // (self.block_tokens + 1)

    def into(self, ids: Sequence[int]) -> list[int]:
        """The ids of one sample, or of its beginning, with landmarks.

        >>> Blocks(9, block_tokens=2).into([1, 2, 3, 4, 5])
        [1, 2, 9, 3, 4, 9, 5]
        """
        flat = np.asarray(ids, np.int64)
        behind = self.behind(flat, np.array([0, flat.size]))
        return np.insert(flat, behind, self.token_id).tolist()

    def behind(self, ids: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Behind how many of all tokens a landmark is put.

        Landmarks that are there already begin a block anew, and none is put before them.

        Args:
            ids: Tokens of all rows, (T,).
            offsets: Where each row begins, and the end, (N + 1,).

        Returns:
            Rising places in `ids`, int64.
        """
        size = ids.size
        begins = np.zeros(size + 1, bool)
        begins[offsets] = True
        there = ids == self.token_id
        begins[1:] |= there
        place = np.arange(size)
        since = place - np.maximum.accumulate(np.where(begins[:size], place, 0)) + 1
        full = (since % self.block_tokens == 0) & ~there
        full[:-1] &= ~(there[1:] & ~_firsts(offsets, size)[1:])
        return np.flatnonzero(full) + 1


def _firsts(offsets: np.ndarray, size: int) -> np.ndarray:
    """Whether a token is the first of its row; bool, (T,)."""
    first = np.zeros(size + 1, bool)
    first[offsets] = True
    return first[:size]


def with_landmarks(
    ids: np.ndarray, labels: np.ndarray, offsets: np.ndarray, blocks: Blocks
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids, labels and offsets of rows with landmarks, which carry no label.

    Args:
        ids: int32, (T,).
        labels: int32, (T,).
        offsets: Where each row begins, and the end, int64, (N + 1,).
        blocks: How they are cut into blocks.
    """
    behind = blocks.behind(ids, offsets)
    labels = np.where(ids == blocks.token_id, IGNORE_INDEX, labels)
    return (
        np.insert(ids, behind, blocks.token_id).astype(np.int32),
        np.insert(labels, behind, IGNORE_INDEX).astype(np.int32),
        offsets + np.searchsorted(behind, offsets, side="right"),
    )
