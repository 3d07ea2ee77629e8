"""How far the logits of two models lie apart, on a few rows of tokens.

P positions, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from axolotl.artifacts.memory import give_back

MAX_ROWS = 4
MAX_TOKENS = 128
"""The reference logits are kept on the disk: 4 rows of 128 tokens are 100 MB with 49,152 words."""
_ROOM_BYTES = 4 << 20
"""What the logits of some positions may always take."""


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


def positions_at_a_time(model: Any) -> int:
    """Positions whose logits are there at a time: they take as much as a sixteenth of the output head.

    Args:
        model: Below peft's outermost wrapper.
    """
    head = model.get_output_embeddings()
    weight = getattr(head, "weight", None)
    if weight is None:
        return MAX_TOKENS
    room = max(_ROOM_BYTES, weight.nbytes // 16)
    return min(MAX_TOKENS, max(1, room // (4 * weight.shape[0])))


def logits_of(
    model: Any, rows: Iterable[Sequence[int]], *, at_a_time: int = MAX_TOKENS
) -> Iterator[Tensor]:
    """Logits of every row by itself, fp32 on the CPU, each (P, V), in order.

    Args:
        model: The model, with or without an adapter of peft.
        rows: Token ids.
        at_a_time: Positions at most; the layers below the output head are computed once a row.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    for row in rows:
        with _layers_once(base, len(row) > at_a_time) as by_parts:
            ids = torch.tensor([list(row)], device=next(model.parameters()).device)
            for part in torch.arange(len(row), device=ids.device).split(at_a_time):
                kept = {"logits_to_keep": part} if by_parts else {}
                with torch.no_grad():
                    found = model(input_ids=ids, use_cache=False, **kept).logits[0].float().cpu()
                give_back()
                if not by_parts:
                    yield from found.split(at_a_time)
                    break
                yield found
                del found


@contextmanager
def _layers_once(base: Any, wanted: bool) -> Iterator[bool]:
    """Let the layers below the head answer with what they gave first; whether the model can do that."""
    body: Any = getattr(base, base.base_model_prefix, base)
    can = body is not base and "logits_to_keep" in signature(base.forward).parameters
    if not (wanted and can):
        yield False
        return
    given: list[Any] = []
    own, forward = "forward" in vars(body), body.forward

    def once(*args: Any, **kwargs: Any) -> Any:
        if not given:
            given.append(forward(*args, **kwargs))
        return given[0]

    body.forward = once
    try:
        yield True
    finally:
        if own:
            body.forward = forward
        else:
            del body.forward


class KeptLogits:
    """Logits in a folder: of a large vocabulary those of a few rows take as much as a small model.

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
    """Compare logits of the same positions, piece by piece.

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
