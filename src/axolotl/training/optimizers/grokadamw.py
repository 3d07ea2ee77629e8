"""GrokAdamW.

Its package keeps the moments in the groups, by the weights themselves, where no checkpoint can hold
them: a run that is resumed would begin them anew. Here they are put where torch keeps states.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import Any

import torch

from axolotl.core.optional import need
from axolotl.training.optimizers import Groups, Order


def build(groups: Groups, order: Order) -> torch.optim.Optimizer:
    """The optimizer."""
    return _resumable(_package(order.name).GrokAdamW)(
        groups, **order.adam, **order.options.model_dump()
    )


def _package(name: str) -> Any:
    """Import it; it sets up the logging of the whole program, which is undone."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    try:
        return need("grokadamw", extra="optimizers", why=f"optimizer: {name}")
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers


def _resumable(kind: Any) -> Any:
    """The optimizer, whose moments are states like those of others."""

    class Resumable(kind):
        @torch.no_grad()
        def step(self, closure: Callable[[], Any] | None = None) -> Any:
            for group in self.param_groups:
                group["state"] = self.state
            try:
                with warnings.catch_warnings():
                    # It asks for autocast by an old name, of CUDA also where there is none.
                    warnings.filterwarnings("ignore", r".*torch\.cuda\.amp", FutureWarning)
                    warnings.filterwarnings("ignore", ".*CUDA is not available", UserWarning)
                    return super().step(closure)
            finally:
                for group in self.param_groups:
                    del group["state"]

    return Resumable
