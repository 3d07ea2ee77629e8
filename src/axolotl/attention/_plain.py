"""Attention of each document by itself, in plain torch: what all backends must be equal to.

A document that sees all of its past, with plain scores, is one call of torch's fused kernel. The
others (a window shorter than the document, ALiBi, capped scores, sinks) go through their queries in
blocks, so that no square over a long document exists: memory and time grow with tokens
times window.

Letters: T tokens of a document, S tokens of a block, R keys that a block sees, H heads, D width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from axolotl.attention._row import Row

if TYPE_CHECKING:
    import torch

_BLOCK_TOKENS = 512
"""Queries that are taken at once: fewer waste time on small products, more hold more scores."""


def attend_documents(row: Row) -> torch.Tensor:
    """Attention over the documents of a row.

    Returns:
        (1, T, H, width).
    """
    import torch

    lengths = row.borders.lengths
    pieces = zip(
        row.query.split(lengths, dim=2),
        row.key.split(lengths, dim=2),
        row.value.split(lengths, dim=2),
        strict=True,
    )
    outputs = [_document(row, *piece).transpose(1, 2) for piece in pieces]
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)


def _document(row: Row, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """(1, H, T, width) of one document."""
    import torch

    tokens = q.shape[2]
    windowed = row.window is not None and row.window < tokens
    if not windowed and row.softcap is None and row.slopes is None and row.sinks is None:
        return torch.nn.functional.scaled_dot_product_attention(
            q,
            k,
            v,
            dropout_p=row.dropout,
            is_causal=True,
            scale=row.scale,
            enable_gqa=q.shape[1] != k.shape[1],
        )
    # Kernels that take a mask do not all take grouped heads.
    k, v = _spread(k, q.shape[1]), _spread(v, q.shape[1])
    blocks: list[torch.Tensor] = []
    for start in range(0, tokens, _BLOCK_TOKENS):
        end = min(start + _BLOCK_TOKENS, tokens)
        first = max(0, start - row.window + 1) if windowed and row.window else 0
        seen = slice(first, end)
        blocks.append(_block(row, q[:, :, start:end], k[:, :, seen], v[:, :, seen], start - first))
    return blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=2)


def _spread(grouped: torch.Tensor, heads: int) -> torch.Tensor:
    """Keys or values of each group for each of its heads: (1, K, T, D) → (1, H, T, D)."""
    groups = heads // grouped.shape[1]
    return grouped if groups == 1 else grouped.repeat_interleave(groups, dim=1)


def _block(
    row: Row, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, offset: int
) -> torch.Tensor:
    """(1, H, S, width) of a block of queries, the first of which is the key of number `offset`."""
    import torch
    from torch.utils.checkpoint import checkpoint

    distance = _distances(q.shape[2], k.shape[2], offset, q.device)
    visible = distance >= 0
    if row.window is not None:
        visible &= distance < row.window
    if row.softcap is None and row.sinks is None:
        mask = visible if row.slopes is None else _alibi(row.slopes, distance, visible, q.dtype)
        return torch.nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, dropout_p=row.dropout, scale=row.scale
        )
    inputs = q, k, v, visible, distance, row.slopes, row.sinks
    settings = row.scale, row.softcap, row.dropout
    if torch.is_grad_enabled() and k.shape[2] > _BLOCK_TOKENS:
        # The scores are made anew for the gradients, instead of being kept for all blocks.
        return checkpoint(_by_hand, *inputs, *settings, use_reentrant=False)
    return _by_hand(*inputs, *settings)


def _distances(queries: int, keys: int, offset: int, device: Any) -> torch.Tensor:
    """How many tokens a key lies before a query; int64, (S, R)."""
    import torch

    places = torch.arange(offset, offset + queries, device=device)
    return places[:, None] - torch.arange(keys, device=device)[None, :]


def _alibi(
    slopes: torch.Tensor, distance: torch.Tensor, visible: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """What is added to the scores: minus slope times distance, or minus infinity; (1, H, S, R)."""
    bias = -slopes.float()[:, None, None] * distance.float()
    return bias.masked_fill(~visible, float("-inf")).to(dtype)[None]


def _by_hand(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    visible: torch.Tensor,
    distance: torch.Tensor,
    slopes: torch.Tensor | None,
    sinks: torch.Tensor | None,
    scale: float,
    softcap: float | None,
    dropout: float,
) -> torch.Tensor:
    """Attention step by step, for what the fused kernels do not know; (1, H, S, width)."""
    import torch

    scores = (q @ k.transpose(2, 3)) * scale
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    scores = scores.float()
    if slopes is not None:
        scores = scores - slopes.float()[:, None, None] * distance.float()
    scores = scores.masked_fill(~visible, float("-inf"))
    if sinks is not None:
        column = sinks.float().reshape(1, -1, 1, 1).expand(*scores.shape[:3], 1)
        scores = torch.cat([scores, column], dim=-1)
    weights = torch.softmax(scores, dim=-1).to(v.dtype)
    if sinks is not None:
        weights = weights[..., :-1]
    if dropout:
        weights = torch.nn.functional.dropout(weights, p=dropout)
    return weights @ v
