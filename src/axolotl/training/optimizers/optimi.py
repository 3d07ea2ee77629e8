"""Optimizers of torch-optimi."""

from __future__ import annotations

from typing import Any

import torch

from axolotl.core.optional import need
from axolotl.training.optimizers import Groups, Order


def build(groups: Groups, order: Order) -> torch.optim.Optimizer:
    """The optimizer."""
    optimi: Any = need("optimi", extra="optimizers", why=f"optimizer: {order.name}")
    kind = optimi.StableAdamW if order.name == "stable_adamw" else optimi.AdamW
    return kind(groups, **order.adam, **order.options.model_dump())
