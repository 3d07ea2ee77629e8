"""How the loss of a model can be computed inside its head: found out by trying, on a few tokens.

The head is made to return known numbers, and what the model makes of them is what it does to its
logits. Then the loss inside the head is compared with the loss of the model's own logits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from axolotl.errors import ModelError
from axolotl.models.after_head import NOTHING, AfterHead, candidates
from axolotl.models.loss_head import fused_loss, labelled_positions, replaced_forward

_TOKENS = 8
_REACH = 100.0
"""Numbers up to this size are put in the place of logits; caps are at 15 to 50."""


@dataclass(frozen=True, slots=True)
class Head:
    """The output head of a model.

    Args:
        module: What turns hidden states into logits; with LoRA or saved modules, its wrapper.
        after: What the model does to its values.
    """

    module: nn.Module
    after: AfterHead = NOTHING


def output_head(model: nn.Module) -> nn.Module | None:
    """The module that turns hidden states into logits; with LoRA or saved modules, its wrapper."""
    find = getattr(model, "get_output_embeddings", None)
    head = find() if find else None
    if head is not None and not isinstance(head, nn.Module):
        raise ModelError(f"the output head is a {type(head).__name__}, not a module")
    return head


def examine_head(model: Any) -> Head | str:
    """The head of a model as the loss needs it; else why the loss cannot be computed inside it.

    Args:
        model: A loaded model, with or without adapter; its mode is put back.
    """
    module = output_head(model)
    if module is None:
        return "it names no output head"
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            return _tried(model, module)
    except (RuntimeError, TypeError, AttributeError, IndexError, ValueError) as error:
        return f"its forward pass works on the logits ({type(error).__name__})"
    finally:
        model.train(was_training)


def _tried(model: Any, module: nn.Module) -> Head | str:
    # fp32 inputs in half-precision models are the caller's autocast; here all see the same
    ids = torch.arange(_TOKENS, device=next(model.parameters()).device)[None]

    def logits() -> Tensor:
        return model(input_ids=ids % _embeddings(model), use_cache=False).logits

    plain = logits()
    after = _seen_after(model, module, plain, logits)
    if after is None:
        return "it changes the logits after the head in a way that is not known"
    labels = ids % plain.shape[-1]
    positions, targets = labelled_positions(labels)
    with fused_loss(module, positions, targets, after=after) as loss_of:
        got = loss_of(logits())
    want = nn.functional.cross_entropy(plain[0, :-1].float(), targets, reduction="sum")
    if not torch.isclose(got, want, rtol=1e-3):
        return "it changes the logits after the head"
    return Head(module, after)


def _seen_after(
    model: Any, module: nn.Module, plain: Tensor, logits: Callable[[], Tensor]
) -> AfterHead | None:
    """Which of the candidates the model does to numbers that stand in the place of its head's."""
    count = plain[0].numel()
    numbers = torch.linspace(-_REACH, _REACH, count, dtype=torch.float64).to(plain)
    given = numbers.reshape(plain.shape)
    with replaced_forward(module, lambda *_, **__: given.clone()):
        got = logits()
    if got.shape != given.shape:
        return None
    exact = plain.dtype in (torch.float32, torch.float64)
    rtol, atol = (1e-5, 1e-4) if exact else (2e-2, 2e-2)
    for after in candidates(model.config):
        if torch.allclose(got.float(), after(given).float(), rtol=rtol, atol=atol):
            return after
    return None


def _embeddings(model: Any) -> int:
    return max(1, model.get_input_embeddings().weight.shape[0])
