"""ALiBi (arXiv:2108.12409): a score loses a slope times the distance between its two tokens.

The bias is not added to a square of scores. Queries and keys are made a few numbers wider, so that
their product holds it: any attention function computes it then, those that never hold the scores
too, with documents of a row apart or a cache of keys.

With m the slope of a head, i the place of the query and j that of the key, -m (i - j) is
m j + c with c = -m i. A softmax does not see c, so it may be rounded; it is there to keep the
scores small where they matter. In m j nothing may be lost, not even in bfloat16 with its 8 bits:
j is 256 a + b with a, b < 256, and m the sum of three parts of 8 bits.

B rows, T tokens, H heads, 8 added numbers.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

ADDED = 8
"""How many numbers queries and keys are wider by; kernels like multiples of 8."""
_BASE = 256
"""Whole numbers up to it are exact in bfloat16."""


def slopes_of(heads: int) -> list[float]:
    """The slopes of the paper: for 2^k heads a geometric row from 2^(-8/heads) to 2^-8.

    For another number, those of the next smaller power of two, then every second one of the next
    larger: section 3 of the paper and the code that its authors published.

    >>> slopes_of(4)
    [0.25, 0.0625, 0.015625, 0.00390625]
    >>> slopes_of(3)
    [0.0625, 0.00390625, 0.25]
    """
    whole = 2 ** int(math.log2(heads))
    slopes = [2 ** (-8 * place / whole) for place in range(1, whole + 1)]
    between = [2 ** (-8 * place / (2 * whole)) for place in range(1, 2 * whole + 1, 2)]
    return slopes + between[: heads - whole]


class RelativeBias(nn.Module):
    """Holds the slopes, and gives what queries and keys are widened by.

    Args:
        heads: Attention heads.
        scaling: `alibi_scaling` of the configuration.
    """

    slopes: Tensor

    def __init__(self, heads: int, scaling: dict[str, Any] | None) -> None:
        super().__init__()
        self.heads = heads
        self.factor = float((scaling or {}).get("factor", 1.0))
        self.train_tokens: int | None = (scaling or {}).get("train_seq_len")
        # In no dtype but fp32: a rounded slope is felt at a distance.
        self.register_buffer("slopes", torch.tensor(slopes_of(heads), dtype=torch.float32)[:, None])

    def forward(self, places: Tensor, lengths: Tensor, *, scaling: float) -> tuple[Tensor, Tensor]:
        """What is put in front of queries and keys.

        Args:
            places: int64, (1 or B, T): place of each token in its document.
            lengths: int64, (1 or B, 1 or T): tokens of the document that each is in.
            scaling: What attention multiplies the scores by.

        Returns:
            (1 or B, H, T, 8) for the queries and (1 or B, 1, T, 8) for the keys, fp32, each number
            exact in bfloat16.
        """
        slopes = self.slopes.float()[:, 0, None] / scaling / self._flatter(lengths)[:, None]
        high, low = places // _BASE, places % _BASE
        shift = -slopes * (places / _BASE)[:, None]
        steep, c = _in_parts(slopes, 3), _in_parts(shift, 2)
        query = (_BASE * steep[0], c[0], steep[0], c[1])
        query += (_BASE * steep[1], steep[1], _BASE * steep[2], steep[2])
        base = torch.full_like(places, _BASE)
        key = (high, base, low, base, high, low, high, low)
        # Large numbers first, which cancel: sums that go on from there are small.
        wide = [part.expand(-1, -1, places.shape[1]) for part in query]
        return torch.stack(wide, dim=-1), torch.stack(key, dim=-1).float()[:, None]

    def _flatter(self, lengths: Tensor) -> Tensor:
        """What the slopes are divided by, fp32, in the shape of `lengths`."""
        if self.train_tokens is None:
            return torch.full_like(lengths, 1, dtype=torch.float32) * self.factor
        return (lengths / self.train_tokens).float().clamp(min=1.0)


def _in_parts(values: Tensor, count: int) -> list[Tensor]:
    """Parts of 8 bits each, as fp32, the largest first; their sum is `values`."""
    parts: list[Tensor] = []
    for _ in range(count):
        part = values.to(torch.bfloat16).float()
        parts.append(part)
        values = values - part
    return parts
