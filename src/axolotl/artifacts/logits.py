"""How far the logits of two models lie apart, on a few rows of tokens.

P positions, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

MAX_ROWS = 4
MAX_TOKENS = 128
"""The reference logits are kept: 4 rows of 128 tokens are 100 MB with 49,152 words."""


@dataclass(frozen=True)
class Difference:
    """How far two models lie apart.

    Args:
        largest: Largest absolute difference of a logit; infinite if one of them is no number.
        relative: The same, divided by the largest absolute reference logit.
        typical: Median over the positions of their largest difference, divided by the same.
        agreeing: Positions where both hold the same token for the most probable.
        positions: Positions compared, P.
    """

    largest: float
    relative: float
    typical: float
    agreeing: int
    positions: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def probe_rows(rows: Sequence[Sequence[int]]) -> list[list[int]]:
    """The first of the rows, each cut to `MAX_TOKENS`."""
    return [list(map(int, row[:MAX_TOKENS])) for row in rows[:MAX_ROWS]]


def fixed_rows(vocabulary: int) -> list[list[int]]:
    """Rows of token ids that depend on nothing but the size of the vocabulary."""
    generator = torch.Generator().manual_seed(0)
    shape = (MAX_ROWS, MAX_TOKENS // 2)
    return torch.randint(0, vocabulary, shape, generator=generator).tolist()


@torch.inference_mode()
def logits_of(model: Any, rows: Sequence[Sequence[int]]) -> list[Tensor]:
    """Logits of every row by itself, fp32 on the CPU, each (P, V)."""
    device = next(model.parameters()).device
    return [
        model(input_ids=torch.tensor([list(row)], device=device), use_cache=False)
        .logits[0]
        .float()
        .cpu()
        for row in rows
    ]


def compare(reference: Sequence[Tensor], other: Sequence[Tensor]) -> Difference:
    """Compare logits of the same rows.

    Args:
        reference: As `logits_of` gives them.
        other: The same of the other model; may have more words, which are not compared.
    """
    largest = scale = 0.0
    agreeing = positions = 0
    of_positions: list[Tensor] = []
    for want, got in zip(reference, other, strict=True):
        got = got[:, : want.shape[1]]
        of_positions.append((want - got).abs().amax(dim=-1))
        apart = float(of_positions[-1].max())
        largest = max(largest, apart if math.isfinite(apart) else math.inf)
        scale = max(scale, float(want.abs().max()))
        agreeing += int((want.argmax(-1) == got.argmax(-1)).sum())
        positions += want.shape[0]
    scale = max(scale, 1e-30)
    typical = float(torch.cat(of_positions).nan_to_num(math.inf).median()) / scale
    return Difference(largest, largest / scale, typical, agreeing, positions)
