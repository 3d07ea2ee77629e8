"""From segments to ids and labels: the one place where a mask is made.

Thousands of rows go through one call of the tokenizer; everything behind it is array arithmetic.

Letters: P pieces (segments), N rows, T tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from axolotl.config import Sections
from axolotl.data.encoder import Encoder
from axolotl.data.landmarks import Blocks, with_landmarks
from axolotl.records import IGNORE_INDEX, Segment

_TRAIN, _BOS, _JOINED, _EOS = 1, 2, 4, 8

NO_TRAINED_TOKEN = "no trained token"
CUT_AWAY = "no trained token left after truncation"
TOO_LONG = "longer than sequence_len"
TOO_SHORT = "shorter than min_sample_len"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long rows may be.

    Args:
        capacity_tokens: Longest row allowed.
        excess: What becomes of a longer one, unless its format has it split: it is dropped, cut
            to that length, or dropped by an error.
        min_tokens: Shortest row allowed, without landmarks.
        blocks: How rows are cut into blocks by landmarks; None for rows without.
    """

    capacity_tokens: int
    excess: Literal["drop", "truncate", "raise"] = "drop"
    min_tokens: int = 1
    blocks: Blocks | None = field(
        default=None, repr=False
    )  # keys of older stores have no word of it

    @classmethod
    def of(cls, options: Sections, encoder: Encoder) -> Limits:
        """The limits that a file sets.

        Args:
            options: The options.
            encoder: Knows the number of the landmark.

        Raises:
            ModelError: landmarks are asked for, and the tokenizer has none.
        """
        rows = options.rows
        return cls(
            options.sequence.sequence_len,
            rows.excess_length_strategy,
            rows.min_sample_len or 1,
            Blocks.of(options, encoder),
        )

    @property
    def room_tokens(self) -> int:
        """Longest row allowed, without the landmarks that will stand in it."""
        return self.blocks.room(self.capacity_tokens) if self.blocks else self.capacity_tokens

    def lengths(self, rows: TokenRows) -> np.ndarray:
        """Tokens of each row with the landmarks that will stand in it, int64, (N,)."""
        return _with_landmarks(rows, self.blocks).lengths

    def identity(self) -> dict[str, Any]:
        """All that decides which rows there are, as plain values."""
        found = asdict(self)
        if self.blocks is None:
            del found["blocks"]
        return found


class SegmentBatch:
    """Segments of many rows, gathered for one call of the tokenizer."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.joined: list[bool] = []
        self.characters = 0
        self._flags: list[int] = []
        self._row_ends: list[int] = []

    def __len__(self) -> int:
        return len(self._row_ends)

    def add(self, segments: Sequence[Segment]) -> None:
        """Take in one row."""
        begun = len(self.texts)
        for part in segments:
            self.texts.append(part.text)
            self.characters += len(part.text)
            joined = part.joined and len(self.texts) > begun + 1
            self.joined.append(joined)
            self._flags.append(
                part.train * _TRAIN + part.bos * _BOS + joined * _JOINED + part.eos * _EOS
            )
        self._row_ends.append(len(self.texts))

    @property
    def flags(self) -> np.ndarray:
        """What each piece asks for, uint8, shape (P,)."""
        return np.array(self._flags, np.uint8)

    @property
    def row_ends(self) -> np.ndarray:
        """Index behind the last piece of each row, int64, shape (N,)."""
        return np.array(self._row_ends, np.int64)

    def unencodable_row(self) -> int | None:
        """Index of the first row with text that cannot be UTF-8 (a lone surrogate)."""
        for index, text in enumerate(self.texts):
            try:
                text.encode()
            except UnicodeEncodeError:
                return int(np.searchsorted(self.row_ends, index, side="right"))
        return None


@dataclass(frozen=True, slots=True)
class TokenRows:
    """Tokenized rows, one after the other.

    Args:
        input_ids: int32, shape (T,).
        labels: int32, shape (T,); `IGNORE_INDEX` where nothing is trained.
        offsets: int64, shape (N + 1,): where each row begins, and the end.
        origin: int64, shape (N,): which row of its batch each row comes from.
    """

    input_ids: np.ndarray
    labels: np.ndarray
    offsets: np.ndarray
    origin: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each row, int64, shape (N,)."""
        return np.diff(self.offsets)

    @property
    def trained(self) -> np.ndarray:
        """Tokens of each row that are predicted and carry a label, int64, shape (N,).

        The first token of a row is never predicted, whatever its label.
        """
        lengths, found = self.lengths, np.zeros(self.origin.size, np.int64)
        filled = np.flatnonzero(lengths)
        begins = self.offsets[filled]
        carries = self.labels != IGNORE_INDEX
        carries[begins] = False
        if filled.size:
            found[filled] = np.add.reduceat(carries, begins, dtype=np.int64)
        return found


def tokenize(batch: SegmentBatch, encoder: Encoder) -> tuple[TokenRows, np.ndarray]:
    """Ids and labels of a batch.

    The tokenizer's own prefix goes in front of the pieces that ask for it and do not begin with
    it, and the end token behind those that ask for it and do not end with it. An empty piece gets
    neither; pieces that are joined are one in this.

    Returns:
        The rows, and the indices of those whose own text gave a special token.
    """
    joined = any(batch.joined)
    flat, counts = (
        encoder.encode_joined(batch.texts, batch.joined) if joined else encoder.encode(batch.texts)
    )
    flags, row_ends = batch.flags, batch.row_ends
    ends = np.cumsum(counts)
    begins = ends - counts
    so_far = counts if not joined else ends - _whole_begins(begins, (flags & _JOINED) > 0)
    filled = so_far > 0
    front = len(encoder.prefix) * (
        filled & ((flags & _BOS) > 0) & ~_starts_with(flat, begins, counts, encoder.prefix)
    )
    behind = filled * (flags // _EOS).astype(np.int64)
    if behind.any():
        behind -= np.minimum(behind, _ending(flat, ends, so_far, behind, encoder.eos))
    total = counts + front + behind
    starts = np.cumsum(total) - total

    ids = np.empty(int(total.sum()), np.int32)
    own = np.ones(ids.size, bool)
    last = starts + total - 1
    for position, token in enumerate(encoder.prefix):
        added = starts[front > 0] + position
        ids[added], own[added] = token, False
    for number in range(int(behind.max(initial=0))):
        added = (last - number)[behind > number]
        ids[added], own[added] = encoder.eos, False
    ids[own] = flat
    labels = ids.copy()
    labels[np.repeat((flags & _TRAIN) == 0, total)] = IGNORE_INDEX

    bounds = np.concatenate(([0], np.cumsum(total)))
    offsets = np.concatenate(([0], bounds[row_ends]))
    rows = TokenRows(ids, labels, offsets, np.arange(len(batch)))
    control = np.flatnonzero(encoder.is_control[flat])
    pieces = np.searchsorted(ends, control, side="right")
    return rows, np.unique(np.searchsorted(row_ends, pieces, side="right"))


def _whole_begins(begins: np.ndarray, joined: np.ndarray) -> np.ndarray:
    """For each piece, where the first of those that it is joined with begins."""
    return begins[np.maximum.accumulate(np.where(joined, 0, np.arange(begins.size)))]


def _starts_with(
    flat: np.ndarray, begins: np.ndarray, counts: np.ndarray, prefix: Sequence[int]
) -> np.ndarray:
    same = counts >= max(len(prefix), 1)
    for position, token in enumerate(prefix):
        same[same] = flat[begins[same] + position] == token
    return same & bool(prefix)


def _ending(
    flat: np.ndarray, ends: np.ndarray, so_far: np.ndarray, asked: np.ndarray, eos: int
) -> np.ndarray:
    """With how many end tokens each piece ends already, as far as some are asked for."""
    found = np.zeros(ends.size, np.int64)
    goes_on = asked > 0
    for number in range(int(asked.max())):
        goes_on = goes_on & (so_far > number) & (asked > number)
        goes_on[goes_on] = flat[ends[goes_on] - 1 - number] == eos
        found += goes_on
    return found


@dataclass(frozen=True, slots=True)
class Fitted:
    """What is left of rows that may be too long.

    Args:
        rows: The rows that are left; `origin` says which of the rows before each was.
        dropped: Indices of the dropped ones, by reason.
        truncated: Indices of those that lost their end.
        several: Indices of those that became several.
    """

    rows: TokenRows
    dropped: Mapping[str, np.ndarray]
    truncated: np.ndarray
    several: np.ndarray


def fit(rows: TokenRows, limits: Limits, *, long_rows: Literal["drop", "split"]) -> Fitted:
    """Drop the rows that cannot be used, split, cut or drop those that are too long, add landmarks.

    Args:
        rows: Rows of any length.
        limits: How long they may be.
        long_rows: Whether longer rows are split into consecutive ones whatever the limits say.
    """
    lengths, room = rows.lengths, limits.room_tokens
    dropped = {NO_TRAINED_TOKEN: rows.trained == 0}
    left = ~dropped[NO_TRAINED_TOKEN]
    dropped[TOO_SHORT] = left & (lengths < limits.min_tokens)
    left &= ~dropped[TOO_SHORT]
    too_long = left & (limits.lengths(rows) > limits.capacity_tokens)
    truncated = np.zeros(lengths.size, bool)
    if too_long.any() and long_rows == "drop":
        if limits.excess == "truncate":
            rows = _cut(rows, room)
            dropped[CUT_AWAY] = too_long & (rows.trained == 0)
            left &= ~dropped[CUT_AWAY]
            truncated = too_long & left
        else:
            dropped[TOO_LONG] = too_long
            left &= ~too_long
    if not left.all():
        rows = _take(rows, left)
    several = too_long & (long_rows == "split")
    if several.any():
        rows = _split(rows, room)
    rows = _with_landmarks(rows, limits.blocks)
    found = {reason: np.flatnonzero(which) for reason, which in dropped.items() if which.any()}
    return Fitted(rows, found, np.flatnonzero(truncated), np.flatnonzero(several))


def _with_landmarks(rows: TokenRows, blocks: Blocks | None) -> TokenRows:
    if blocks is None:
        return rows
    return TokenRows(
        *with_landmarks(rows.input_ids, rows.labels, rows.offsets, blocks), rows.origin
    )


def _cut(rows: TokenRows, capacity_tokens: int) -> TokenRows:
    """Rows without what goes beyond the capacity."""
    lengths = rows.lengths
    position = np.arange(rows.input_ids.size) - np.repeat(rows.offsets[:-1], lengths)
    keep = position < capacity_tokens
    offsets = np.concatenate(([0], np.cumsum(np.minimum(lengths, capacity_tokens))))
    return TokenRows(rows.input_ids[keep], rows.labels[keep], offsets, rows.origin)


def _take(rows: TokenRows, keep: np.ndarray) -> TokenRows:
    lengths = rows.lengths
    tokens = np.repeat(keep, lengths)
    offsets = np.concatenate(([0], np.cumsum(lengths[keep])))
    return TokenRows(rows.input_ids[tokens], rows.labels[tokens], offsets, rows.origin[keep])


def _split(rows: TokenRows, capacity_tokens: int) -> TokenRows:
    parts = -(-rows.lengths // capacity_tokens)
    number = np.arange(int(parts.sum())) - np.repeat(np.cumsum(parts) - parts, parts)
    begins = np.repeat(rows.offsets[:-1], parts) + number * capacity_tokens
    offsets = np.concatenate((begins, rows.offsets[-1:]))
    return TokenRows(rows.input_ids, rows.labels, offsets, np.repeat(rows.origin, parts))
