"""Bloom's ALiBi is counted from the start of each document, not of the row.

The bias is relative, so in exact numbers it would not matter. It is rounded to the dtype of the
weights, though: in bfloat16 every position above 256 is off, and a document far down a row is
another one than alone.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor

from axolotl.models.patches.row_mask import positions_in


def count_positions(model: Any) -> ExitStack:
    """Give this Bloom a way to build its bias from the mask of a row.

    Returns:
        What gives it its own one back.
    """
    inner = model.base_model
    own = type(inner).build_alibi_tensor
    inner.build_alibi_tensor = partial(_bias, partial(own, inner))
    undo = ExitStack()
    undo.callback(delattr, inner, "build_alibi_tensor")
    return undo


def _bias(own: Any, attention_mask: Tensor, num_heads: int, dtype: torch.dtype) -> Tensor:
    """(B * heads, 1, T); `own` is asked for masks of two dimensions."""
    if attention_mask.ndim != 4:
        return own(attention_mask, num_heads, dtype)
    return at_positions(own, positions_in(attention_mask), num_heads, dtype)


def at_positions(own: Any, positions: Tensor, num_heads: int, dtype: torch.dtype) -> Tensor:
    """What a library's function gives for each position of a long document, put in order.

    Args:
        own: Maps a mask (1, T), the number of heads and the dtype to a bias (heads, 1, T).
        positions: int64, (B, T); each token's place in its document.
        num_heads: Heads.
        dtype: Of the bias.

    Returns:
        (B * heads, 1, T).
    """
    table = own(torch.ones_like(positions[:1]), num_heads, dtype)[:, 0]
    picked = table[:, positions].transpose(0, 1)
    return picked.reshape(-1, 1, positions.shape[1])
