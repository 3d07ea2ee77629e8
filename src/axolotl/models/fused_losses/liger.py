"""Liger's fused linear cross entropy (arXiv 2410.10989, section 3.2), of the package liger-kernel.

Like `axolotl.models.loss_head` it works through the positions in chunks and computes gradients on
the way; softmax, loss and the gradient of the logits are one Triton kernel that overwrites them.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from axolotl.core.optional import need

PACKAGE = "liger_kernel"
EXTRA = "liger"


def why_not(_: nn.Linear, computes_in: torch.dtype) -> str | None:
    """Its losses are sums in fp32."""
    return "it computes in float32 at most" if computes_in == torch.float64 else None


def summed(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, cap: float | None
) -> Tensor:
    """See `Kernel`; gradients of the head are added up in fp32."""
    return _loss(cap)(weight, hidden, targets, bias)


@cache
def _loss(cap: float | None) -> Any:
    module = need(
        "liger_kernel.transformers.fused_linear_cross_entropy",
        extra=EXTRA,
        why="liger_fused_linear_cross_entropy",
    )
    return module.LigerFusedLinearCrossEntropyLoss(
        reduction="sum", softcap=cap, accum_dtype=torch.float32
    )
