"""AdamW of torchao, with states in few bits."""

from __future__ import annotations

from typing import Any

import torch

from axolotl.core.optional import need
from axolotl.training.optimizers import Groups, Order


def build(groups: Groups, order: Order) -> torch.optim.Optimizer:
    """The optimizer."""
    torchao: Any = need("torchao.optim", extra="optimizers", why=f"optimizer: {order.name}")
    kind = torchao.AdamW4bit if order.name.endswith("4bit") else torchao.AdamW8bit
    options = {k: v for k, v in order.options.model_dump().items() if v is not None}
    return kind(groups, **order.adam, **options)
