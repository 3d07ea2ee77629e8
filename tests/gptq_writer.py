"""Checkpoints in GPTQ's format, quantised here: by rounding, or by GPTQ itself.

Written apart from the code under test, bit by bit, so that the two can only agree if both follow the
format. GPTQ is the algorithm of arXiv 2210.17323: columns are rounded one after the other, and what
one loses is made up for by those that are still to come, as far as the inputs' Hessian lets them.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D


@dataclass(frozen=True)
class Recipe:
    """How to quantise.

    Args:
        bits: 2, 3, 4 or 8.
        group_size: Inputs that share a scale; -1 for all.
        act_order: Important inputs first, so that groups are scattered.
        sym: Whether the zero is the middle of the grid.
        version: Of the format, 1 or 2.
        by_hessian: GPTQ; else every weight is rounded by itself.
    """

    bits: int = 4
    group_size: int = 32
    act_order: bool = False
    sym: bool = True
    version: int = 1
    by_hessian: bool = False

    def settings(self) -> dict[str, Any]:
        """What a checkpoint says of itself."""
        return {
            "quant_method": "gptq",
            "bits": self.bits,
            "group_size": self.group_size,
            "desc_act": self.act_order,
            "sym": self.sym,
            "checkpoint_format": "gptq" if self.version == 1 else "gptq_v2",
        }


@dataclass(frozen=True)
class Rounded:
    """A quantised weight.

    Args:
        tensors: What a checkpoint stores.
        meant: The weight that they stand for, (outputs, inputs), fp32.
    """

    tensors: dict[str, Tensor]
    meant: Tensor


def quantise(weight: Tensor, recipe: Recipe, *, inputs: Tensor | None = None) -> Rounded:
    """Quantise a weight (outputs, inputs).

    Args:
        weight: The weight.
        recipe: How.
        inputs: What the layer is fed with, (tokens, inputs); random numbers where it does not matter.
    """
    weight = weight.detach().float().clone()
    outputs, width = weight.shape
    if inputs is None:
        generator = torch.Generator().manual_seed(width)
        inputs = torch.randn(4 * width, width, generator=generator) * torch.rand(
            width, generator=generator
        )
    hessian = inputs.float().T @ inputs.float()
    order = torch.arange(width)
    if recipe.act_order:
        order = hessian.diag().argsort(descending=True)
    rest = weight[:, order]
    spread = _spread(hessian[order][:, order]) if recipe.by_hessian else None
    group = recipe.group_size if recipe.group_size > 0 else width
    q, scales, zeros = torch.zeros(outputs, width, dtype=torch.int64), [], []
    for i in range(width):
        if i % group == 0:
            scale, zero = _grid(rest[:, i : i + group], recipe)
            scales.append(scale)
            zeros.append(zero)
        scale, zero = scales[-1].float(), zeros[-1]
        q[:, i] = (torch.round(rest[:, i] / scale) + zero).clamp(0, 2**recipe.bits - 1)
        if spread is not None:
            lost = (rest[:, i] - (q[:, i] - zero) * scale) / spread[i, i]
            rest[:, i:] -= lost[:, None] * spread[i, i:]
    g_idx = torch.empty(width, dtype=torch.int64)
    g_idx[order] = torch.arange(width) // group
    in_place = torch.empty_like(q)
    in_place[:, order] = q
    scale_GO, zero_GO = torch.stack(scales), torch.stack(zeros)
    meant = (in_place - zero_GO[g_idx].T) * scale_GO[g_idx].T.float()
    stored = zero_GO if recipe.version == 2 else _one_less(zero_GO, recipe.bits)
    tensors = {
        "qweight": as_words(in_place, recipe.bits).T.contiguous(),
        "qzeros": as_words(stored, recipe.bits) if stored.dtype != torch.int32 else stored,
        "scales": scale_GO,
        "g_idx": g_idx.to(torch.int32),
    }
    return Rounded(tensors, meant)


def _spread(hessian: Tensor) -> Tensor:
    damped = hessian + torch.eye(len(hessian)) * 0.01 * hessian.diag().mean()
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    return torch.linalg.cholesky(inverse, upper=True)


def _grid(columns: Tensor, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Scale (float16) and zero for each output."""
    top = 2**recipe.bits - 1
    low, high = columns.amin(1).clamp(max=0), columns.amax(1).clamp(min=0)
    if recipe.sym:
        high = torch.maximum(high, -low)
        low = -high
    scale = ((high - low) / top).clamp(min=1e-5).half()
    zero = torch.full_like(low, (top + 1) // 2) if recipe.sym else torch.round(-low / scale.float())
    return scale, zero.clamp(0, top).to(torch.int64)


def as_words(rows: Tensor, bits: int) -> Tensor:
    """int32 words of each row's numbers, which lie one after the other, lowest bit first."""
    numbers = rows.numpy().astype(np.uint8)
    each = np.unpackbits(numbers[:, :, None], axis=2, count=bits, bitorder="little")
    packed = np.packbits(each.reshape(len(numbers), -1), axis=1, bitorder="little")
    return torch.from_numpy(packed.view("<i4").copy())


def _one_less(zeros: Tensor, bits: int) -> Tensor:
    """Version 1: a 1 less in each number; whole words at once, with borrows, as gptqmodel does it."""
    if bits == 3:
        return (zeros - 1) & 7
    ones = np.uint32(sum(1 << shift for shift in range(0, 32, bits)))
    words = as_words(zeros, bits).numpy().view(np.uint32) - ones
    return torch.from_numpy(words.view(np.int32))


def write_gptq(
    model: Any,
    folder: Path,
    recipe: Recipe,
    *,
    chosen: Callable[[str], bool] = lambda path: path != "lm_head",
    shards: int = 1,
    drop: Collection[str] = (),
    settings_in: str = "config.json",
    file_name: str = "model.safetensors",
    tokenizer: Any = None,
    **changes: Any,
) -> Any:
    """Write a model as a GPTQ checkpoint.

    Args:
        model: A model in fp32.
        folder: Where to.
        recipe: How to quantise.
        chosen: Which linear layers, by their path.
        shards: In how many files.
        drop: Tensors to leave out.
        settings_in: The file that gets the settings; none if empty.
        file_name: Name of a single file.
        tokenizer: Saved beside it.
        changes: Other settings than the recipe's.

    Returns:
        A model with ordinary layers of the weights that the checkpoint stands for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {k: v.detach().clone() for k, v in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        tensors.pop("lm_head.weight", None)
    meant = copy.deepcopy(model)
    for path, layer in model.named_modules():
        if not isinstance(layer, nn.Linear | Conv1D) or not chosen(path):
            continue
        transposed = isinstance(layer, Conv1D)
        rounded = quantise(layer.weight.T if transposed else layer.weight, recipe)
        tensors.pop(f"{path}.weight", None)
        tensors |= {f"{path}.{name}": tensor for name, tensor in rounded.tensors.items()}
        weight = rounded.meant.T if transposed else rounded.meant
        meant.get_submodule(path).weight = nn.Parameter(weight.contiguous())
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items() if name not in drop}
    _write(tensors, folder, shards=shards, file_name=file_name)
    config = model.config.to_dict() | {"architectures": [type(model).__name__]}
    settings = recipe.settings() | changes
    if settings_in == "config.json":
        config["quantization_config"] = settings
    elif settings_in:
        (folder / settings_in).write_text(json.dumps(settings), "utf-8")
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    return meant.eval()


def _write(tensors: dict[str, Tensor], folder: Path, *, shards: int, file_name: str) -> None:
    if shards == 1:
        save_file(tensors, folder / file_name, metadata={"format": "pt"})
        return
    names = sorted(tensors)
    places: dict[str, str] = {}
    for i in range(shards):
        file = f"model-{i + 1:05}-of-{shards:05}.safetensors"
        part = {name: tensors[name] for name in names[i::shards]}
        save_file(part, folder / file, metadata={"format": "pt"})
        places |= dict.fromkeys(part, file)
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
