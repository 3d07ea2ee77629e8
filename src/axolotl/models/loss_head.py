"""The output head and the loss in one: only at labelled positions, in chunks, inside the model.

A tokens x vocabulary matrix is the largest thing in a training step, and most of it belongs to
masked positions. While `fused_loss` is active, the output head of the model takes the hidden
states, keeps those that predict a label, and returns the summed cross entropy in place of the
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

from axolotl.errors import ModelError
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
def fused_loss(head: nn.Module, positions: Tensor, targets: Tensor) -> Iterator[None]:
    """Let `head` return the summed cross entropy, shape (1, 1, 1), instead of logits.

    Args:
        head: The output embeddings of the model; its forward is put back on exit.
        positions: As `labelled_positions` gives them.
        targets: The same.
    """
    logits_of: Callable[[Tensor], Tensor] = head.forward

    def loss(hidden: Tensor) -> Tensor:
        return summed_cross_entropy(logits_of, head, hidden, targets).reshape(1, 1, 1)

    with _instead_of_logits(head, positions, loss):
        yield


@contextmanager
def values_of_logits(
    head: nn.Module, positions: Tensor, values: Callable[[Tensor, slice], Tensor]
) -> Iterator[None]:
    """Let `head` return some values of each position, shape (1, P, R), instead of logits.

    Without gradients, and like the loss never with more than `MAX_LOGITS` logits at a time.

    Args:
        head: The output embeddings of the model; its forward is put back on exit.
        positions: Where logits are looked at, int64, (P,).
        values: Maps logits, (n, V), and which of the positions they are of, to (n, R).
    """
    logits_of: Callable[[Tensor], Tensor] = head.forward

    def found(hidden: Tensor) -> Tensor:
        size = max(1, MAX_LOGITS // _vocabulary(head))
        return in_chunks(hidden, size, lambda rows, span: values(logits_of(rows), span))[None]

    with torch.no_grad(), _instead_of_logits(head, positions, found):
        yield


def in_chunks(rows: Tensor, size: int, values: Callable[[Tensor, slice], Tensor]) -> Tensor:
    """What `values` makes of `size` rows at a time and their places, one after the other."""
    starts = range(0, max(1, rows.shape[0]), size)  # once where there is none: it gives the shape
    return torch.cat([values(rows[i : i + size], slice(i, i + size)) for i in starts])


@contextmanager
def _instead_of_logits(
    head: nn.Module, positions: Tensor, result: Callable[[Tensor], Tensor]
) -> Iterator[None]:
    """Let `head` return what `result` makes of the hidden states at some positions, (P, C)."""
    own = head.__dict__.get("forward")

    def forward(hidden: Tensor, *_: Any, **__: Any) -> Tensor:
        flat = hidden.reshape(-1, hidden.shape[-1])
        if flat.shape[0] != positions.shape[0]:
            flat = flat[positions]
        return result(flat)

    head.forward = forward
    try:
        yield
    finally:
        del head.forward
        if own is not None:
            head.forward = own


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
        ctx.save_for_backward(torch.cat(grad_hidden) if grad_hidden else hidden, *grads)
        return total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        (grad_total,) = grad_outputs
        scaled = [None if g is None else g * grad_total.to(g.dtype) for g in ctx.saved_tensors]
        return (None, None, None, *scaled)


def _add(known: Tensor | None, new: Tensor | None) -> Tensor | None:
    if known is None or new is None:
        return new if known is None else known
    return known.add_(new)


def check_head(model: nn.Module) -> str | None:
    """Why the model's loss cannot be computed inside its head; None if it can.

    Tried on a few tokens: a model that scales or caps its logits after the head gives another
    loss than its head does.
    """
    head = output_head(model)
    if head is None:
        return "it names no output head"
    device = next(model.parameters()).device
    vocabulary = min(_vocabulary(head), 16)
    ids = torch.arange(8, device=device)[None] % vocabulary
    labels = ids.clone()
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            # fp32 inputs in half-precision models are the caller's autocast; here both see the same
            plain = model(input_ids=ids, use_cache=False).logits
            want = _cross_entropy(plain[0, :-1], labels[0, 1:])
            positions, targets = labelled_positions(labels)
            with fused_loss(head, positions, targets):
                got = model(input_ids=ids, use_cache=False).logits.sum()
    except (RuntimeError, TypeError, AttributeError) as error:
        return f"its forward pass works on the logits ({type(error).__name__})"
    finally:
        model.train(was_training)
    if not torch.isclose(got.float(), want.float(), rtol=1e-3):
        return "it changes the logits after the head"
    return None


def output_head(model: nn.Module) -> nn.Module | None:
    """The module that turns hidden states into logits; with LoRA or saved modules, its wrapper."""
    find = getattr(model, "get_output_embeddings", None)
    head = find() if find else None
    if head is not None and not isinstance(head, nn.Module):
        raise ModelError(f"the output head is a {type(head).__name__}, not a module")
    return head


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits.float(), targets, reduction="sum")


def _vocabulary(head: nn.Module) -> int:
    """Largest dimension of the head's weights: the vocabulary, whatever wraps or computes them."""
    sizes = [max(p.shape) for p in head.parameters() if p.dim() == 2]
    sizes += [m.out_features for m in head.modules() if isinstance(m, nn.Linear)]
    return max(sizes, default=1)
