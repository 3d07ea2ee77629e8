"""A GPTQ checkpoint of a tiny model, each weight rounded by itself.

That is the format of Frantar et al. 2022 (arXiv 2210.17323) without the method: nothing makes up for
what rounding loses. For a random model there is nothing to lose.

G groups, I inputs, O outputs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from axolotl.models.gptq.layout import pack, stored_zeros

BITS, GROUP, VERSION = 4, 32, 1


def write_rounded(model: Any, folder: Path) -> None:
    """Write a model as a GPTQ checkpoint: 4 bits, groups of 32 inputs; the output head stays whole.

    Args:
        model: A model in fp32.
        folder: Where to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().clone() for name, value in model.state_dict().items()}
    for name in getattr(model, "_tied_weights_keys", None) or ():
        if model.config.tie_word_embeddings:
            tensors.pop(name, None)
    head = model.get_output_embeddings()
    for path, layer in model.named_modules():
        if not isinstance(layer, nn.Linear | Conv1D) or layer is head:
            continue
        weight_OI = layer.weight.T if isinstance(layer, Conv1D) else layer.weight
        if weight_OI.shape[1] % GROUP or weight_OI.shape[0] % 8:
            continue  # left whole, as quantisers leave it
        tensors.pop(f"{path}.weight")
        tensors |= {f"{path}.{k}": v for k, v in _rounded(weight_OI.detach().float()).items()}
    whole = {name: value.contiguous() for name, value in tensors.items()}
    save_file(whole, folder / "model.safetensors", metadata={"format": "pt"})
    settings = {
        "quant_method": "gptq",
        "bits": BITS,
        "group_size": GROUP,
        "desc_act": False,
        "sym": True,
        "checkpoint_format": "gptq",
    }
    config = model.config.to_dict() | {
        "architectures": [type(model).__name__],
        "quantization_config": settings,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def _rounded(weight_OI: Tensor) -> dict[str, Tensor]:
    """What a checkpoint stores of a weight."""
    outputs, inputs = weight_OI.shape
    groups_OGI = weight_OI.reshape(outputs, -1, GROUP)
    middle, top = 2 ** (BITS - 1), 2**BITS - 1
    scales_OG = (groups_OGI.abs().amax(-1) * 2 / top).clamp(min=1e-5).half()
    numbers_OGI = torch.round(groups_OGI / scales_OG.float()[..., None]) + middle
    numbers_IO = numbers_OGI.clamp(0, top).to(torch.int64).reshape(outputs, inputs).T
    zeros_GO = torch.full((inputs // GROUP, outputs), middle)
    return {
        "qweight": pack(numbers_IO, BITS),
        "qzeros": stored_zeros(zeros_GO, BITS, version=VERSION),
        "scales": scales_OG.T.contiguous(),
        "g_idx": (torch.arange(inputs) // GROUP).to(torch.int32),
    }
