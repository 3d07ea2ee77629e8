"""What an adapter trains, held in fp32 beside a base that is held in half precision."""

from __future__ import annotations

from typing import Any, cast

import torch
from peft.tuners.lora import LoraLayer
from torch import nn


def to_fp32(adapted: nn.Module) -> bool:
    """Hold all weights that are trained in fp32: small updates are lost in half precision.

    peft does that with the matrices of LoRA by itself, but not with its copies of whole modules and
    rows of tokens, nor with prompts.

    Returns:
        Whether any was not.
    """
    half = [w for w in adapted.parameters() if w.requires_grad and w.dtype != torch.float32]
    for weight in half:
        weight.data = weight.data.float()
    return bool(half)


def measure_anew(adapted: nn.Module) -> None:
    """Compute the magnitudes that DoRA begins with in fp32.

    peft computes them in the base's number format, but the lengths that it divides them by in fp32:
    an adapter that has learnt nothing would change the model by the rounding.
    """
    for module in adapted.modules():
        if not isinstance(module, LoraLayer):
            continue
        layer = cast(Any, module)
        for name, magnitude in layer.lora_magnitude_vector.items():
            whole = name in layer.lora_A
            magnitude.update_layer(
                base_layer=layer.get_base_layer(),
                lora_A=layer.lora_A[name].weight if whole else layer.lora_embedding_A[name],
                lora_B=layer.lora_B[name].weight if whole else layer.lora_embedding_B[name],
                scaling=layer.scaling[name],
            )
