"""Whether the files of a merged model hold the weights that the merge was proven with.

Logits of the written folder are compared too, but a number format of 16 bits moves them by more than
a light adapter does. So every weight is read back and held against base + adapter, as the proof in
memory computed them: block by block, not over the pieces that were written. What may lie between
the two is the rounding to the format of the file, and the order in which a processor adds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from transformers.core_model_loading import revert_weight_conversion

from axolotl.artifacts.fold import blocks, in_fp32, plain_weights
from axolotl.artifacts.memory import give_back
from axolotl.artifacts.merged_weights import MergedWeights
from axolotl.artifacts.row_fold import RowFold, is_large, slices
from axolotl.errors import ModelError
from axolotl.training.relora.files import WeightFiles

_SUMS = 1e-5
"""What another order of adding moves, of the largest number of a piece."""
_LET_GO_BYTES = 16 << 20
"""After so much has been read, a file is opened anew: what was read of it leaves the memory."""

Rows = Callable[[slice], Tensor]


@torch.no_grad()
def refuse_other_weights(weights: MergedWeights, folder: Path) -> None:
    """See that the files in a folder hold base + adapter, weight by weight.

    Args:
        weights: What was written.
        folder: Where.

    Raises:
        ModelError: names the first weight that is another one.
    """
    files = WeightFiles(folder, where="--out")
    left = {entry.name: entry.size_bytes for entry in weights.entries}
    read = 0
    for name, rows, want in _proven(weights):
        got = files.read(name)
        got = got[rows] if got.dim() else got
        if not _is_rounded(got, want):
            raise ModelError(
                f"'{name}' was not written as base + adapter: the file holds other numbers",
                hint="the disk or the memory of this machine is faulty, or else it is a bug in axolotl",
            )
        left[name] -= got.nbytes
        read += got.nbytes
        if read > _LET_GO_BYTES:
            del got
            files.close()
            read = 0
    files.close()
    missed = [name for name, size_bytes in left.items() if size_bytes]
    assert not missed, f"written, and not compared as a whole: {missed[:3]}"


def _is_rounded(got: Tensor, want: Tensor) -> bool:
    """Whether numbers are those of `want`, rounded to their own format."""
    if got.shape != want.shape:
        return False
    if not got.is_floating_point() or not got.numel():
        return torch.equal(got, want)
    want = want.float()
    room = float(want.abs().nan_to_num_(posinf=0).max()) * _SUMS
    low, high = (want - room).to(got.dtype), (want + room).to(got.dtype)
    return bool((low.le(got) & got.le(high)).all())


def _proven(weights: MergedWeights) -> Iterator[tuple[str, slice, Tensor]]:
    """Names in the files, which rows, and what is to stand there: in fp32 where it is computed."""
    base = weights.base
    for path, block in blocks(base):
        # Files that hold weights in other cuts are made of a whole block at a time.
        large = {} if weights.cut_anew else dict(_large(block))
        with in_fp32(block, merged=True, apart=large):
            state = {n: w for n, w in plain_weights(block, path) if n not in weights.left_out}
            together = [state] if weights.cut_anew else [{n: w} for n, w in state.items()]
            by_rows = {id(weight): rows for weight, rows in large.values()}
            for some in together:
                of_one = by_rows.get(id(next(iter(some.values()), None)))
                for name, weight in revert_weight_conversion(base, dict(some)).items():
                    rows_of = of_one or weight.__getitem__
                    for part in slices(weight.shape):
                        yield name, part, rows_of(part) if weight.dim() else weight
        give_back()


def _large(block: nn.Module) -> Iterator[tuple[nn.Module, tuple[Tensor, Rows]]]:
    """The large matrices of a block, of which the proof computes a few rows at a time."""
    adapted = [module for module in block.modules() if isinstance(module, BaseTunerLayer)]
    inside = {part for layer in adapted for part in layer.modules()}
    for module in block.modules():
        fold = RowFold.of(module)
        if fold is not None and is_large(fold.weight):
            yield module, (fold.weight, fold.rows)
        if module in inside or not isinstance(module, nn.Linear | nn.Embedding):
            continue
        if is_large(module.weight):
            yield module, (module.weight, module.weight.detach().__getitem__)
