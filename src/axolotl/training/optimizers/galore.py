"""GaLore."""

from __future__ import annotations

from typing import Any

import torch

from axolotl.core.optional import need
from axolotl.training.optimizers import Groups, Order, split_projected
from axolotl.training.optimizers.plain import adafactor_arguments


def build(groups: Groups, order: Order) -> torch.optim.Optimizer:
    """The optimizer; its projections are read from checkpoints as plain data."""
    galore: Any = need("galore_torch", extra="optimizers", why=f"optimizer: {order.name}")
    projector: Any = need(
        "galore_torch.galore_projector", extra="optimizers", why=f"optimizer: {order.name}"
    )
    torch.serialization.add_safe_globals([projector.GaLoreProjector])
    split = split_projected(groups, order, order.options.model_dump())
    if order.name == "galore_adafactor":
        return galore.GaLoreAdafactor(split, **adafactor_arguments(order))
    return galore.GaLoreAdamW(split, **order.adam, no_deprecation_warning=True)
