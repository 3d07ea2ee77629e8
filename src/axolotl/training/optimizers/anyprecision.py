"""AdamW whose states may have another precision than the weights, and that makes good what rounding loses.

Weights in bfloat16 have eight bits of precision: a step that is a thousand times smaller than a weight
is rounded away whole. With Kahan's summation the lost part of every step is kept in a buffer and added
to the next one, so that small steps add up. The states may be in bfloat16 as well, which halves their
memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from axolotl.training.optimizers import Groups, Order


class AnyPrecisionAdamW(torch.optim.Optimizer):
    """AdamW with states of any precision.

    Args:
        groups: Groups of parameters.
        lr: Learning rate.
        betas: Decay of the mean of the gradients, and of that of their squares.
        eps: For numerical stability.
        momentum_dtype: Precision of the mean of the gradients.
        variance_dtype: Precision of the mean of their squares.
        compensation_dtype: Precision of what rounding lost; None to let it be lost.
    """

    def __init__(
        self,
        groups: Groups,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        momentum_dtype: torch.dtype = torch.float32,
        variance_dtype: torch.dtype = torch.float32,
        compensation_dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": 0.0})
        self.momentum_dtype = momentum_dtype
        self.variance_dtype = variance_dtype
        self.compensation_dtype = compensation_dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make one step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._change(weight, weight.grad, group)
        return loss

    def _change(self, weight: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight] or self._begin(weight)
        state["step"] += 1
        beta1, beta2 = group["betas"]
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        mean.mul_(beta1).add_(gradient.to(mean.dtype), alpha=1 - beta1)
        wide = gradient.to(square.dtype)
        square.mul_(beta2).addcmul_(wide, wide, value=1 - beta2)

        correct1 = 1 - beta1 ** state["step"]
        correct2 = math.sqrt(1 - beta2 ** state["step"])
        denominator = (square.sqrt() / correct2).add_(group["eps"]).to(torch.float32)
        change = mean.to(torch.float32) / denominator * (-group["lr"] / correct1)
        if group["weight_decay"]:
            change.sub_(weight.to(torch.float32), alpha=group["lr"] * group["weight_decay"])
        lost = state.get("compensation")
        if lost is None:
            weight.add_(change.to(weight.dtype))
            return
        change.add_(lost)
        before = weight.to(torch.float32)
        weight.add_(change.to(weight.dtype))
        # What was asked for, less what happened, is what the next step has to make good.
        lost.copy_(change - (weight.to(torch.float32) - before))

    def _begin(self, weight: torch.Tensor) -> dict[str, Any]:
        state = self.state[weight]
        state["step"] = 0
        state["exp_avg"] = torch.zeros_like(weight, dtype=self.momentum_dtype)
        state["exp_avg_sq"] = torch.zeros_like(weight, dtype=self.variance_dtype)
        if self.compensation_dtype is not None:
            state["compensation"] = torch.zeros_like(weight, dtype=self.compensation_dtype)
        return state


def build(groups: Groups, order: Order) -> torch.optim.Optimizer:
    """The optimizer."""
    options = order.options
    lost = options.compensation_buffer_dtype if options.use_kahan_summation else None
    return AnyPrecisionAdamW(
        groups,
        **order.adam,
        momentum_dtype=getattr(torch, options.momentum_dtype),
        variance_dtype=getattr(torch, options.variance_dtype),
        compensation_dtype=None if lost is None else getattr(torch, lost),
    )
