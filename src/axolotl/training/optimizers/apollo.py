"""APOLLO."""

from __future__ import annotations

from typing import Any

import torch

from axolotl.core.optional import need
from axolotl.training.optimizers import Groups, Order, split_projected


def build(groups: Groups, order: Order) -> torch.optim.Optimizer:
    """The optimizer; its projections are read from checkpoints as plain data."""
    why = f"optimizer: {order.name}"
    apollo: Any = need("apollo_torch", extra="optimizers", why=why)
    by_chance: Any = need("apollo_torch.random_projector", extra="optimizers", why=why)
    by_svd: Any = need("apollo_torch.svd_projector", extra="optimizers", why=why)
    torch.serialization.add_safe_globals([by_chance.GradientProjector, by_svd.GaLoreProjector])
    split = split_projected(groups, order, order.options.model_dump())
    return apollo.APOLLOAdamW(split, **order.adam)
