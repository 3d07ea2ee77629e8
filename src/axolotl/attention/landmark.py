"""Landmark attention (arXiv 2305.16300): blocks of tokens that are reached through their landmarks.

A token `<landmark>` stands behind every 50 others; `axolotl.attention._landmark_blocks` says what a
query sees. Without a landmark it is plain causal attention. Which tokens are landmarks is told by
the model (`axolotl.models.native.landmark`), in `landmarks`; documents of a row are kept apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from axolotl.attention import Need
from axolotl.attention._landmark_blocks import attend_document
from axolotl.attention._landmark_layout import (
    LANDMARK,
    ORDINARY,
    PADDING,
    Layout,
    Retrieval,
    layout_of,
)

if TYPE_CHECKING:
    import torch

__all__ = [
    "BLOCK_TOKENS",
    "LANDMARK",
    "NAME",
    "ORDINARY",
    "PADDING",
    "TOKEN",
    "TOP_BLOCKS",
    "WINDOW_BLOCKS",
    "Layout",
    "NotServed",
    "Retrieval",
    "attend",
    "layout_of",
    "register",
    "why_not",
]

NAME = "landmark"
TOKEN = "<landmark>"
"""Text of the token that ends a block."""
BLOCK_TOKENS = 50
"""Ordinary tokens of a block."""
WINDOW_BLOCKS = 5
"""Blocks that are always read in answers: 255 tokens with their landmarks."""
TOP_BLOCKS = 5
"""Older blocks that are read in answers besides."""


class NotServed(ValueError):
    """A model asks for something that this attention does not compute."""


def why_not(need: Need) -> str | None:
    """Llama only: its code is known to hand on what tells the landmarks."""
    if need.model_type != "llama":
        return f"landmark attention is for Llama models, and this is {need.model_type}"
    return None


def register() -> None:
    """Make `attn_implementation="landmark"` known to transformers."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    landmarks: Layout | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """Attention as transformers' `AttentionInterface` asks for it.

    Args:
        module: The attention layer; not used.
        query: (B, heads, T, head width).
        key: (B, key-value heads, K, head width); the queries are the last T of the K tokens.
        value: As `key`.
        attention_mask: Must be None: padding is told by `landmarks`.
        dropout: Probability of dropping a weight.
        scaling: Factor on the scores; None for 1 / sqrt(head width).
        landmarks: Documents and landmarks of the batch.
        more: What else the model hands over; refused where it would change the result.

    Returns:
        (B, T, heads, head width), zero where there is padding, and None in place of the weights.

    Raises:
        NotServed: nothing tells the landmarks, a mask is there, or a window or cap is asked for.
    """
    import torch

    if landmarks is None or attention_mask is not None:
        what = "a mask is given" if landmarks is not None else "nothing tells which tokens are"
        raise NotServed(f"landmark attention is not told where the landmarks are: {what}")
    for name in ("sliding_window", "softcap", "s_aux"):
        if more.get(name) is not None:
            raise NotServed(f"the model asks for '{name}', which landmark attention does not know")
    rows, heads, queries = query.shape[:3]
    keys = key.shape[2]
    if keys != landmarks.keys:
        raise NotServed(f"{keys} keys, and landmarks are known of {landmarks.keys}")
    before = keys - queries
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    pieces: list[list[torch.Tensor]] = [[] for _ in range(rows)]
    filled = [0] * rows
    for document in landmarks.documents:
        row, first = document.row, max(document.begin, before)
        if first >= document.end:
            continue
        span = slice(document.begin, document.end)
        found = attend_document(
            query[row, :, first - before : document.end - before],
            key[row, :, span],
            value[row, :, span],
            document.landmarks,
            scaling=scale,
            dropout=dropout,
            retrieval=landmarks.retrieval,
        )
        pieces[row] += [_zeros(value, heads, first - before - filled[row]), found]
        filled[row] = document.end - before
    for row in range(rows):
        pieces[row].append(_zeros(value, heads, queries - filled[row]))
    return torch.stack([torch.cat(found, dim=1) for found in pieces]).transpose(1, 2), None


def _zeros(value: torch.Tensor, heads: int, tokens: int) -> torch.Tensor:
    return value.new_zeros(heads, tokens, value.shape[-1])
