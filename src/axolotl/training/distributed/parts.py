"""Weights of which each process holds a part: what they are, and what is to be asked of all processes."""

from __future__ import annotations

from typing import Any

import torch
from accelerate import PartialState
from torch import Tensor, nn
from torch.distributed.tensor import DTensor


def is_sharded(model: nn.Module) -> bool:
    """Whether every weight that is trained is cut up by FSDP."""
    trained = [p for p in model.parameters() if p.requires_grad]
    return bool(trained) and all(isinstance(p, DTensor) for p in trained)


def is_cut_up(model: nn.Module) -> bool:
    """Whether a forward pass needs all processes: by FSDP, or by DeepSpeed's ZeRO 3."""
    return any(isinstance(p, DTensor) or hasattr(p, "ds_tensor") for p in model.parameters())


def answers_here(model: nn.Module) -> bool:
    """Whether this process has to run the model where one answer for all processes is wanted.

    The first does it alone, except where each holds a part of the model: then all do the same.
    """
    return PartialState().is_main_process or is_cut_up(model)


def local(parameter: Tensor) -> Tensor:
    """The part of a weight that this process holds."""
    if isinstance(parameter, DTensor):
        return parameter.to_local()
    part: Any = getattr(parameter, "ds_tensor", None)
    return parameter if part is None else part


def all_finite(model: nn.Module) -> Tensor:
    """Whether the parts of this process of all trained weights are finite; a boolean scalar."""
    trained = [local(p).detach() for p in model.parameters() if p.requires_grad]
    return torch.stack([torch.isfinite(p).all() for p in trained]).all()
