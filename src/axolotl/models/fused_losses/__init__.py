"""Kernels of other packages that compute head and loss in one, on a GPU: one file each.

A kernel file holds

    PACKAGE, EXTRA                       the name to import, and the extra that brings it
    why_not(head, computes_in)           why it cannot serve a head; None if it can
    summed(hidden, weight, bias, targets, cap)

A kernel is tried on the head of the loaded model before it is used: it must give the loss and the
gradient that plain torch gives. Where it does not, or is not to be had, the loss is computed in
chunks by `axolotl.models.loss_head`, with the same result.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from axolotl.config.loss import LossSection
from axolotl.models.after_head import AfterHead
from axolotl.registry import load

_PACKAGE = "axolotl.models.fused_losses"
_TRIED_TOKENS = 7


class Kernel(Protocol):
    """What a file of this package offers."""

    PACKAGE: str
    EXTRA: str

    def why_not(self, head: nn.Linear, computes_in: torch.dtype, /) -> str | None:
        """Why it cannot serve a head that computes in a number format; None if it can."""
        ...

    def summed(
        self,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        cap: float | None,
    ) -> Tensor:
        """Sum of the cross entropies, a scalar with gradients.

        Args:
            hidden: (P, C), P at least 1.
            weight: (V, C).
            bias: (V,), or None.
            targets: int64, (P,).
            cap: Soft cap of the logits, or None.
        """
        ...


def asked_kernel(loss: LossSection, *, flash_attn_cross_entropy: bool) -> str | None:
    """The file of the kernel that the options ask for; None where they ask for none.

    Args:
        loss: The options.
        flash_attn_cross_entropy: The old name of Liger's.
    """
    if loss.cut_cross_entropy:
        return "cut_cross_entropy"
    asked = loss.liger_fused_linear_cross_entropy or flash_attn_cross_entropy
    return "liger" if asked else None


def fitting_kernel(name: str, head: nn.Module, after: AfterHead) -> Kernel | str:
    """A kernel that was seen to compute the loss of a head; else why it cannot.

    Args:
        name: Its file.
        head: The output head; under autocast if the training is.
        after: What the model does to the values of the head.
    """
    kernel: Any = load(_PACKAGE, name)
    if find_spec(kernel.PACKAGE) is None:
        return f"it needs a package: pip install 'axolotl[{kernel.EXTRA}]'"
    if type(head) is not nn.Linear:
        return f"the output head is a {type(head).__name__}, not a plain linear layer"
    device = head.weight.device
    if device.type != "cuda" and not _interpreted():
        return "it needs a GPU"
    if after.scale != 1.0 and head.bias is not None:
        return "the model scales logits that have a bias"
    if reason := kernel.why_not(head, computes_in(head.weight)):
        return reason
    return _fault(kernel, head, after) or kernel


def computes_in(weight: Tensor) -> torch.dtype:
    """The number format in which a linear layer is computed here and now, autocast included."""
    kind = weight.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype


def _interpreted() -> bool:
    """Whether Triton's kernels are run by its interpreter, which needs no GPU and is slow."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def _fault(kernel: Kernel, head: nn.Linear, after: AfterHead) -> str | None:
    """What is wrong with the loss and the gradient of a few random hidden states."""
    weight = head.weight.detach()
    bias = None if head.bias is None else head.bias.detach()
    generator = torch.Generator().manual_seed(0)
    shape = (_TRIED_TOKENS, head.in_features)
    hidden = torch.randn(shape, generator=generator).to(weight)
    targets = torch.randint(0, head.out_features, shape[:1], generator=generator)
    targets = targets.to(weight.device)

    def kernels(rows: Tensor) -> Tensor:
        return kernel.summed(rows * after.scale, weight, bias, targets, after.cap)

    def plain(rows: Tensor) -> Tensor:
        logits = after(nn.functional.linear(rows, weight, bias)).float()
        return nn.functional.cross_entropy(logits, targets, reduction="sum")

    results: list[list[Tensor]] = []
    for way in (kernels, plain):
        rows = hidden.clone().requires_grad_()
        try:
            with torch.enable_grad():
                loss = way(rows)
                loss.backward()
        # A compiler, a driver and a foreign package are behind it: what they raise has no list.
        except Exception as error:  # noqa: BLE001
            return f"it fails on this machine: {type(error).__name__}: {_first_line(error)}"
        assert rows.grad is not None
        results.append([loss.detach().float(), rows.grad.float()])
    tolerance = 1e-4 if computes_in(weight) == torch.float32 else 0.05
    for got, want in zip(*results, strict=True):
        difference = float((got - want).abs().max() / want.abs().max())
        if not difference <= tolerance:  # not true for NaN either
            return f"its result differs by {difference:.1%} from that of plain torch"
    return None


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "no message"
