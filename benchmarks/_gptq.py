"""SmolLM2-135M as a GPTQ checkpoint: version 1, 4 bits, groups of 128, every weight rounded by itself.

Rounding takes seconds where GPTQ takes an hour on two cores. The weights are a little worse for it;
what a step costs is the same.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from _smol import model_folder
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from axolotl.core.cache import cache_folder, made_once
from axolotl.models.gptq.layout import pack, stored_zeros

BITS, GROUP = 4, 128


def gptq_folder() -> Path:
    """The checkpoint, in the cache folder; made by the first call."""
    return made_once(cache_folder("gptq", f"smollm2-135m-{BITS}bit-{GROUP}g"), _write)


def _write(folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(model_folder(), dtype=torch.float32)
    tensors = {k: v.half() for k, v in model.state_dict().items() if k != "lm_head.weight"}
    for path, layer in model.named_modules():
        if isinstance(layer, torch.nn.Linear) and path != "lm_head":
            rounded = _rounded(tensors.pop(f"{path}.weight").float())
            tensors |= {f"{path}.{name}": tensor for name, tensor in rounded.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    settings = {
        "quant_method": "gptq",
        "bits": BITS,
        "group_size": GROUP,
        "desc_act": False,
        "sym": True,
        "checkpoint_format": "gptq",
    }
    config = model.config.to_dict() | {"quantization_config": settings, "dtype": "float16"}
    (folder / "config.json").write_text(json.dumps(config, indent=2), "utf-8")
    AutoTokenizer.from_pretrained(model_folder()).save_pretrained(folder)


def _rounded(weight: Tensor) -> dict[str, Tensor]:
    """What a checkpoint stores for a weight, (outputs, inputs); the last group may be short."""
    inputs = torch.arange(weight.shape[1])
    groups = (inputs // GROUP).to(torch.int32)
    middle = 1 << (BITS - 1)
    largest = torch.stack([part.abs().amax(dim=1) for part in weight.split(GROUP, dim=1)])
    scales = (largest / (middle - 0.5)).clamp(min=1e-6).half()
    steps = (weight.T / scales[groups].float()).round() + middle
    return {
        "qweight": pack(steps.clamp(0, 2 * middle - 1), BITS),
        "qzeros": stored_zeros(torch.full_like(largest, middle), BITS, version=1),
        "scales": scales,
        "g_idx": groups,
    }
