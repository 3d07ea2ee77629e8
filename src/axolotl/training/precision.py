"""Which number formats a run computes in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from axolotl.config.precision import PrecisionSection
from axolotl.models.load import weight_dtype


@dataclass(frozen=True)
class Formats:
    """Number formats of one run.

    Args:
        weights: What weights are held in; those of an adapter are fp32 in any case.
        autocast: What a forward pass computes in where it is not the weights' own; None for that.
        evaluation: What weights are converted to while they are evaluated; None for no change.
    """

    weights: torch.dtype
    autocast: torch.dtype | None = None
    evaluation: torch.dtype | None = None


def formats(precision: PrecisionSection, *, gpu: bool) -> Formats:
    """The formats that a file asks for.

    Args:
        precision: The options, with `auto` decided.
        gpu: Whether it runs on a GPU; float16 is computed with only there.
    """
    autocast = None
    if precision.bf16 is True:
        autocast = torch.bfloat16
    elif precision.fp16 and gpu:
        autocast = torch.float16
    evaluation = torch.bfloat16 if precision.bf16 == "full" else None
    return Formats(weight_dtype(precision), autocast, evaluation)


@contextmanager
def weights_in(model: nn.Module, dtype: torch.dtype | None) -> Iterator[None]:
    """Let a model compute with converted copies of its weights; those themselves are not touched.

    The copies take the places of the weights and are thrown away: what a training holds on to
    (optimizer, gradients, hooks of several processes) never sees them. Quantised weights stay as
    they are.

    Args:
        model: The model.
        dtype: What to convert to; None for no change.
    """
    if dtype is None:
        yield
        return
    copies: dict[nn.Parameter, nn.Parameter] = {}
    places: list[tuple[nn.Module, str, nn.Parameter]] = []
    try:
        for module in model.modules():
            own = module.named_parameters(recurse=False, remove_duplicate=False)
            for name, weight in own:
                if type(weight) is not nn.Parameter:
                    continue
                if not weight.is_floating_point() or weight.dtype == dtype:
                    continue
                if weight not in copies:
                    copies[weight] = nn.Parameter(weight.detach().to(dtype), requires_grad=False)
                places.append((module, name, weight))
        for module, name, weight in places:
            setattr(module, name, copies[weight])
        yield
    finally:
        for module, name, weight in places:
            setattr(module, name, weight)
