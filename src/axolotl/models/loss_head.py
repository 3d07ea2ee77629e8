"""The output head and the loss in one: only at labelled positions, in chunks, inside the model.

A tokens x vocabulary matrix is the largest thing in a training step, and most of it belongs to
masked positions. While `fused_loss` is active, the output head of the model takes the hidden
states, keeps those that predict a label, and computes the summed cross entropy in place of the
logits. The gradients of head and hidden states are computed chunk by chunk in the same pass, so
no more than `MAX_LOGITS` logits exist at a time and the head is not computed twice.

It happens inside the head's own `forward`, so wrappers that gather or cast its weights (DDP, FSDP,
ZeRO-3, autocast, LoRA on the head) work as ever.

T tokens, P labelled positions, C hidden width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from axolotl.models.after_head import NOTHING, AfterHead
from axolotl.models.fused_losses import Kernel
from axolotl.records import IGNORE_INDEX

MAX_LOGITS = 1 << 25
"""Logits of one chunk, counted over positions and vocabulary: 128 MiB in fp32."""


def labelled_positions(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Where a label is predicted, and which.

    Args:
        labels: int64, (1, T).

    Returns:
        Positions of the predicting tokens and their targets, both int64, (P,).

    >>> labelled_positions(torch.tensor([[-100, 5, -100, 7]]))
    (tensor([0, 2]), tensor([5, 7]))
    """
    targets = labels[0, 1:]
    positions = torch.nonzero(targets != IGNORE_INDEX).flatten()
    return positions, targets[positions]


@contextmanager
def fused_loss(
    head: nn.Module,
    positions: Tensor,
    targets: Tensor,
    *,
    after: AfterHead = NOTHING,
    kernel: Kernel | None = None,
) -> Iterator[Callable[[Tensor], Tensor]]:
    """Let `head` compute the summed cross entropy instead of logits.

    What the model returns for its logits is then one 0, which only carries the gradient, so that
    nothing that the model does to its logits can change the loss. Gives what maps that output to the
    loss, a scalar in fp32.

    Args:
        head: The output embeddings of the model; its forward is put back on exit.
        positions: As `labelled_positions` gives them.
        targets: The same.
        after: What the model does to the values of the head.
        kernel: Computes the loss of a head that is a plain linear layer; None is the way of this
            module.
    """
    logits_of: Callable[[Tensor], Tensor] = head.forward
    losses: list[Tensor] = []

    def instead(hidden: Tensor) -> Tensor:
        if kernel is not None and targets.numel():
            loss = kernel_loss(kernel, head, hidden, targets, after=after)
        else:
            loss = summed_cross_entropy(lambda rows: after(logits_of(rows)), head, hidden, targets)
        losses.append(loss.detach())
        return _Carrier.apply(loss)

    def loss_of(output: Tensor) -> Tensor:
        (loss,) = losses
        return loss + output.float().sum() / after.scale

    with _instead_of_logits(head, positions, instead):
        yield loss_of


@contextmanager
def values_of_logits(
    head: nn.Module,
    positions: Tensor,
    values: Callable[[Tensor, slice], Tensor],
    *,
    after: AfterHead = NOTHING,
) -> Iterator[Callable[[], Tensor]]:
    """Let `head` find some values of the logits of each position, instead of logits.

    Without gradients, and like the loss never with more than `MAX_LOGITS` logits at a time. Gives
    what returns the values, shape (P, R), once the model has run.

    Args:
        head: The output embeddings of the model; its forward is put back on exit.
        positions: Where logits are looked at, int64, (P,).
        values: Maps logits, (n, V), and which of the positions they are of, to (n, R).
        after: What the model does to the values of the head.
    """
    logits_of: Callable[[Tensor], Tensor] = head.forward
    found: list[Tensor] = []

    def instead(hidden: Tensor) -> Tensor:
        size = max(1, MAX_LOGITS // _vocabulary(head))
        found.append(
            in_chunks(hidden, size, lambda rows, span: values(after(logits_of(rows)), span))
        )
        return hidden.new_zeros(1, 1, 1)

    with torch.no_grad(), _instead_of_logits(head, positions, instead):
        yield lambda: found[-1]


class _Carrier(torch.autograd.Function):
    """A 0 of shape (1, 1, 1) in fp32, whose gradient is that of the loss."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor) -> Tensor:
        ctx.shape = loss.shape
        return loss.new_zeros(1, 1, 1)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        return grad_outputs[0].reshape(ctx.shape)


def in_chunks(rows: Tensor, size: int, values: Callable[[Tensor, slice], Tensor]) -> Tensor:
    """What `values` makes of `size` rows at a time and their places, one after the other."""
    starts = range(0, max(1, rows.shape[0]), size)  # once where there is none: it gives the shape
    return torch.cat([values(rows[i : i + size], slice(i, i + size)) for i in starts])


@contextmanager
def _instead_of_logits(
    head: nn.Module, positions: Tensor, result: Callable[[Tensor], Tensor]
) -> Iterator[None]:
    """Let `head` return what `result` makes of the hidden states at some positions, (P, C)."""

    def forward(hidden: Tensor, *_: Any, **__: Any) -> Tensor:
        flat = hidden.reshape(-1, hidden.shape[-1])
        if flat.shape[0] != positions.shape[0]:
            flat = flat[positions]
        return result(flat)

    with replaced_forward(head, forward):
        yield


@contextmanager
def replaced_forward(module: nn.Module, forward: Callable[..., Tensor]) -> Iterator[None]:
    """While the body runs, `module` has another forward."""
    own = module.__dict__.get("forward")
    module.forward = forward
    try:
        yield
    finally:
        del module.forward
        if own is not None:
            module.forward = own


def summed_cross_entropy(
    logits_of: Callable[[Tensor], Tensor], head: nn.Module, hidden_PC: Tensor, targets: Tensor
) -> Tensor:
    """Sum of the cross entropies at P positions, in fp32, never holding P x V logits.

    Args:
        logits_of: Maps (n, C) to (n, V).
        head: Holds the parameters that `logits_of` uses.
        hidden_PC: (P, C).
        targets: int64, (P,).
    """
    chunk = max(1, MAX_LOGITS // _vocabulary(head))
    parameters = [p for p in head.parameters() if p.requires_grad]
    if torch.is_grad_enabled() and (hidden_PC.requires_grad or parameters):
        return _ChunkedLoss.apply(logits_of, chunk, targets, hidden_PC, *parameters)
    total = torch.zeros((), dtype=torch.float32, device=hidden_PC.device)
    for rows, goal in zip(hidden_PC.split(chunk), targets.split(chunk), strict=True):
        total += _cross_entropy(logits_of(rows), goal)
    return total


class _ChunkedLoss(torch.autograd.Function):
    """Forward computes the loss and, chunk by chunk, its gradients; backward only scales them."""

    @staticmethod
    def forward(
        ctx: Any,
        logits_of: Callable[[Tensor], Tensor],
        chunk: int,
        targets: Tensor,
        hidden: Tensor,
        *parameters: Tensor,
    ) -> Tensor:
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        grad_hidden: list[Tensor] = []
        grads: list[Tensor | None] = [None] * len(parameters)
        for rows, goal in zip(hidden.detach().split(chunk), targets.split(chunk), strict=True):
            with torch.enable_grad():
                rows = rows.requires_grad_()
                loss = _cross_entropy(logits_of(rows), goal)
            of_rows, *of_parameters = torch.autograd.grad(
                loss, [rows, *parameters], allow_unused=True
            )
            total += loss.detach()
            grad_hidden.append(of_rows)
            grads = [_add(known, new) for known, new in zip(grads, of_parameters, strict=True)]
        grads = [_in_dtype_of(p, g) for p, g in zip(parameters, grads, strict=True)]
        ctx.save_for_backward(torch.cat(grad_hidden) if grad_hidden else hidden, *grads)
        return total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        (grad_total,) = grad_outputs
        scaled = [None if g is None else g * grad_total.to(g.dtype) for g in ctx.saved_tensors]
        return (None, None, None, *scaled)


def _add(known: Tensor | None, new: Tensor | None) -> Tensor | None:
    """The sum over chunks so far, in fp32: in half precision, many small parts get lost."""
    if known is None or new is None:
        return new if known is None else known
    return known.float().add_(new)


def _in_dtype_of(parameter: Tensor, grad: Tensor | None) -> Tensor | None:
    return None if grad is None else grad.to(parameter.dtype)


def kernel_loss(
    kernel: Kernel, head: nn.Module, hidden: Tensor, targets: Tensor, *, after: AfterHead
) -> Tensor:
    """Sum of the cross entropies at P positions by a kernel, in fp32.

    Args:
        kernel: Computes head and loss in one.
        head: A plain linear layer.
        hidden: (P, C).
        targets: int64, (P,); at least one.
        after: What the model does to the values of the head.
    """
    weight: Tensor = head.get_parameter("weight")
    bias: Tensor | None = getattr(head, "bias", None)
    trained = weight.requires_grad or (bias is not None and bias.requires_grad)
    if torch.is_grad_enabled() and trained and not hidden.requires_grad:
        # Kernels take a frozen body for a sign that nothing is trained at all.
        hidden = hidden.detach().requires_grad_()
    if after.scale != 1.0:
        hidden = hidden * after.scale
    return kernel.summed(hidden, weight, bias, targets, after.cap).float()


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits.float(), targets, reduction="sum")


def _vocabulary(head: nn.Module) -> int:
    """Number of logits of a position, whatever wraps or holds the weights of the head.

    A layer says so itself; the shape of packed weights does not.
    """
    said = [n for m in head.modules() if isinstance(n := getattr(m, "out_features", None), int)]
    shapes = [max(p.shape) for p in head.parameters() if p.dim() == 2]
    return max(said or shapes, default=1)
