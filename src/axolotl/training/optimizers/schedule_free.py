"""Schedule-free optimizers.

They train at one point and are used at another, an average. The library goes from one to the other
and back by arithmetic, which rounds: a run that is looked at would train on with other bits than one
that is not. Here the point of the training is kept, in checkpoints too, and taken up as it was.
"""

from __future__ import annotations

from typing import Any

import torch

from axolotl.core.optional import need
from axolotl.training.optimizers import Groups, Order

_POINT = "trained_at"


def build(groups: Groups, order: Order) -> torch.optim.Optimizer:
    """The optimizer."""
    package: Any = need("schedulefree", extra="optimizers", why=f"optimizer: {order.name}")
    options = order.options.model_dump()
    if order.name == "schedule_free_sgd":
        kind = _exact(package.SGDScheduleFree)
        return kind(groups, lr=order.learning_rate, **options)
    both = {
        "schedule_free_adamw": package.AdamWScheduleFree,
        "schedule_free_radam": package.RAdamScheduleFree,
    }
    return _exact(both[order.name])(groups, **order.adam, **options)


def _exact(kind: Any) -> Any:
    """The optimizer, which goes back to the very point that it came from."""

    class Exact(kind):
        @torch.no_grad()
        def eval(self) -> None:
            if any(group["train_mode"] for group in self.param_groups):
                for weight in self._begun():
                    self.state[weight][_POINT] = weight.detach().clone()
            super().eval()

        @torch.no_grad()
        def train(self) -> None:
            super().train()
            for weight in self._begun():
                if (point := self.state[weight].pop(_POINT, None)) is not None:
                    weight.copy_(point)

        def _begun(self) -> list[torch.Tensor]:
            weights = [weight for group in self.param_groups for weight in group["params"]]
            return [weight for weight in weights if "z" in self.state.get(weight, {})]

    return Exact
