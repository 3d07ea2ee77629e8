"""Samples laid end to end in one row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from axolotl.records import IGNORE_INDEX, PackedBatch, TokenRow


def flatten(
    rows: Sequence[TokenRow], *, pad_to_tokens: int | None = None, pad_token_id: int = 0
) -> PackedBatch:
    """Lay samples one after the other.

    Position ids restart at 0 for each. The first label of each is `IGNORE_INDEX`: it would be
    predicted from the last token of the sample before. Padding, if any, is at the end, has no labels,
    and counts its positions from 0 to the length of the longest sample, again and again: a model
    with learned positions has none beyond those of its samples. No samples at all make one token of
    padding, which has no loss.

    Args:
        rows: The samples of the row.
        pad_to_tokens: Length to pad to; None for no padding.
        pad_token_id: Token of the padding.

    Raises:
        ValueError: the samples are longer than `pad_to_tokens`.

    >>> first = TokenRow(np.array([11, 12, 13]), np.array([11, 12, 13]))
    >>> second = TokenRow(np.array([21, 22]), np.array([-100, 22]))
    >>> batch = flatten([first, second], pad_to_tokens=7)
    >>> batch.input_ids
    array([11, 12, 13, 21, 22,  0,  0])
    >>> batch.position_ids
    array([0, 1, 2, 0, 1, 0, 1])
    >>> batch.labels
    array([-100,   12,   13, -100,   22, -100, -100])
    """
    lengths = [row.input_ids.size for row in rows]
    tokens = sum(lengths)
    total = max(tokens, 1) if pad_to_tokens is None else pad_to_tokens
    if total < tokens:
        raise ValueError(f"{tokens} tokens do not fit into a row of {pad_to_tokens}")
    input_ids = np.full(total, pad_token_id, np.int64)
    labels = np.full(total, IGNORE_INDEX, np.int64)
    position_ids = np.arange(total, dtype=np.int64)
    start = 0
    for row, length in zip(rows, lengths, strict=True):
        end = start + length
        input_ids[start:end] = row.input_ids
        labels[start + 1 : end] = row.labels[1:]
        position_ids[start:end] -= start
        start = end
    position_ids[start:] = (position_ids[start:] - start) % max(lengths, default=1)
    return PackedBatch(input_ids, position_ids, labels, documents=len(rows))
