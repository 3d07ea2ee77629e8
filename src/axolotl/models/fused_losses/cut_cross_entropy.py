"""Cut cross entropy (arXiv 2411.09009), of the package cut-cross-entropy.

Its kernels hold no logits at all, only those of the blocks being worked on, and compute them again
for the gradients. It is the smallest of all in memory.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from axolotl.core.optional import need
from axolotl.models import fused_losses

PACKAGE = "cut_cross_entropy"
EXTRA = "cut-cross-entropy"
IMPLEMENTATION = "cce"
"""Which of the package's ways; the others do not save the logits."""


def why_not(head: nn.Linear, computes_in: torch.dtype) -> str | None:
    """It knows no bias, and computes in half precision only."""
    if head.bias is not None:
        return "the output head has a bias, which it does not know"
    if computes_in not in (torch.float16, torch.bfloat16):
        return f"it computes in half precision, and the head in {str(computes_in)[6:]}"
    return None


def summed(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, cap: float | None
) -> Tensor:
    """See `Kernel`; gradients smaller than a number of the format can show are left out."""
    assert bias is None
    module = need(PACKAGE, extra=EXTRA, why="cut_cross_entropy")
    dtype = fused_losses.computes_in(weight)
    return module.linear_cross_entropy(
        hidden.to(dtype),
        weight.to(dtype),
        targets,
        softcap=cap,
        reduction="sum",
        filter_eps="auto",
        impl=IMPLEMENTATION,
    )
