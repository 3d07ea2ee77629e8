"""Attention written out over the whole square, in float64: what every backend is held against."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def reference(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lengths: Sequence[int],
    *,
    scale: float,
    window: int | None = None,
    softcap: float | None = None,
    slopes: Tensor | None = None,
    sinks: Tensor | None = None,
) -> Tensor:
    """(1, T, H, width) from (1, H, T, D), (1, K, T, D) and (1, K, T, width)."""
    q, k, v = q.double(), k.double(), v.double()
    tokens, heads = q.shape[2], q.shape[1]
    group = heads // k.shape[1]
    document = torch.tensor([n for n, length in enumerate(lengths) for _ in range(length)])
    output = torch.zeros(1, tokens, heads, v.shape[-1], dtype=torch.float64)
    rows = []
    for head in range(heads):
        scores = scale * torch.einsum("td,sd->ts", q[0, head], k[0, head // group])
        if softcap is not None:
            scores = softcap * (scores / softcap).tanh()
        place = torch.arange(tokens)
        distance = place[:, None] - place[None, :]
        if slopes is not None:
            scores = scores - slopes[head].double() * distance
        allowed = (distance >= 0) & (document[:, None] == document[None, :])
        if window is not None:
            allowed &= distance < window
        weights = torch.where(allowed, scores.exp(), torch.zeros(()).double())
        total = weights.sum(dim=1, keepdim=True)
        if sinks is not None:
            total = total + sinks[head].double().exp()
        rows.append((weights / total) @ v[0, head // group])
    return output + torch.stack(rows, dim=1)[None]
