"""Optimizers of bitsandbytes."""

from __future__ import annotations

from typing import Any

import torch

from axolotl.core.console import note_once
from axolotl.core.optional import need
from axolotl.training.optimizers import Groups, Order

_BETA3 = 0.9999


def build(groups: Groups, order: Order) -> torch.optim.Optimizer:
    """The optimizer, paged only where there is a GPU."""
    name = order.name
    bnb: Any = need("bitsandbytes.optim", extra="bnb", why=f"optimizer: {name}")
    bits = 8 if name.endswith("8bit") else 32
    paged = name.startswith("paged")
    if paged and not order.on_gpu:
        note_once(f"{name}: states are paged only to make room on a GPU; here they stay in memory")
    common: dict[str, Any] = {"optim_bits": bits, **order.options.model_dump()}
    if "rmsprop" in name:
        return bnb.RMSprop(groups, lr=order.learning_rate, **common)
    common["is_paged"] = paged and order.on_gpu
    if "lion" in name:
        return bnb.Lion(groups, lr=order.learning_rate, betas=order.betas, **common)
    if "ademamix" in name:
        beta3 = _BETA3 if order.beta3 is None else order.beta3
        adam = {**order.adam, "betas": (*order.betas, beta3)}
        return bnb.AdEMAMix(groups, **adam, **common)
    return bnb.AdamW(groups, **order.adam, **common)


def keep_wide(optimizer: Any, weights: list[torch.Tensor]) -> None:
    """Let the states of some weights have 32 bits: those of embeddings lose too much with 8.

    The library notes it in one place for the whole process, by the address of the weight, where it
    would hold for whatever lies there in the next training. Here each optimizer has a place of its own.
    """
    place = type(optimizer.mng)
    own = object.__new__(place)
    own.initialize()
    own.override_config(weights, "optim_bits", 32)
    optimizer.mng = own
