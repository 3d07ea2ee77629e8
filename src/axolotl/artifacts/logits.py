"""How far the logits of two models lie apart, on a few rows of tokens.

P positions, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from axolotl.artifacts.memory import give_back

MAX_ROWS = 4
MAX_TOKENS = 128
"""The reference logits are kept on the disk: 4 rows of 128 tokens are 100 MB with 49,152 words."""


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


@torch.no_grad()
def logits_of(model: Any, rows: Iterable[Sequence[int]]) -> Iterator[Tensor]:
    """Logits of every row by itself, fp32 on the CPU, each (P, V); one at a time."""
    device = next(model.parameters()).device
    for row in rows:
        ids = torch.tensor([list(row)], device=device)
        found = model(input_ids=ids, use_cache=False).logits[0].float().cpu()
        give_back()
        yield found


class KeptLogits:
    """Logits of a few rows in a folder: of a large vocabulary they take as much as a small model.

    Args:
        folder: Theirs alone.
        logits: As `logits_of` gives them.
    """

    def __init__(self, folder: Path, logits: Iterable[Tensor]) -> None:
        self.files: list[Path] = []
        for number, row in enumerate(logits):
            self.files.append(folder / f"{number}.safetensors")
            save_file({"logits": row.contiguous()}, self.files[-1])

    def __iter__(self) -> Iterator[Tensor]:
        for file in self.files:
            yield load_file(file)["logits"]


def compare(reference: Iterable[Tensor], other: Iterable[Tensor]) -> Difference:
    """Compare logits of the same rows, a row at a time.

    Args:
        reference: As `logits_of` gives them.
        other: The same of the other model; may have more words, which are not compared.
    """
    largest = scale = 0.0
    agreeing = positions = 0
    of_positions: list[Tensor] = []
    for row, its in zip(reference, other, strict=True):
        its = its[:, : row.shape[1]]
        # A few positions at a time: of a large vocabulary each takes a megabyte.
        for want, got in zip(row.split(8), its.split(8), strict=True):
            of_positions.append((want - got).abs().amax(dim=-1))
            apart = float(of_positions[-1].max())
            largest = max(largest, apart if math.isfinite(apart) else math.inf)
            scale = max(scale, float(want.abs().max()))
            agreeing += int((want.argmax(-1) == got.argmax(-1)).sum())
            positions += want.shape[0]
    scale = max(scale, 1e-30)
    typical = float(torch.cat(of_positions).nan_to_num(math.inf).median()) / scale
    return Difference(largest, largest / scale, typical, agreeing, positions)
