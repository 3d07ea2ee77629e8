"""An optimizer that forgets: moments to zero, step counts to zero."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from typing import Any

import torch

_QUANTISATION_MAP = "qmap"
"""Part of the names under which 8-bit optimizers keep what their codes stand for."""
_MOMENTS = ("exp_avg", "exp_avg_sq")


def reset_optimizer(optimizer: Any) -> None:
    """Set every state to what it was before the first step.

    Tensors become zero where they are, counters 0, tensor or not; what quantised codes stand for is
    kept. Whatever optimizer it is, its next step is then as its first one was.

    Args:
        optimizer: An optimizer, or a wrapper with its `state`.
    """
    for state in optimizer.state.values():
        _reset(state)


def _reset(state: MutableMapping[Any, Any]) -> None:
    for key, value in state.items():
        if _QUANTISATION_MAP in str(key) or isinstance(value, bool):
            continue
        if isinstance(value, torch.Tensor):
            state[key] = _zeroed(value)
        elif isinstance(value, MutableMapping):
            _reset(value)
        elif isinstance(value, int | float):
            state[key] = type(value)(0)


def _zeroed(value: torch.Tensor) -> torch.Tensor:
    """Zero in place; where a kind of tensor cannot, as torchao's quantised ones, a new one of zeros."""
    try:
        return value.detach().zero_()
    except (NotImplementedError, RuntimeError):
        return torch.zeros_like(value)


def prune_optimizer(optimizer: Any, parameters: Iterable[torch.Tensor], share: float) -> None:
    """Set the smallest moments of some parameters to zero, and keep everything else.

    Args:
        optimizer: An optimizer of the Adam family, or a wrapper with its `state`.
        parameters: Those whose moments are pruned.
        share: How many become zero, as a share of each tensor.
    """
    for parameter in parameters:
        state = optimizer.state.get(parameter, {})
        for name in _MOMENTS:
            if (moment := state.get(name)) is not None:
                _keep_largest(moment, share)


def _keep_largest(moment: torch.Tensor, share: float) -> None:
    count = int(share * moment.numel())
    if count:
        flat = moment.detach().view(-1)
        flat[flat.abs().argsort(stable=True)[:count]] = 0
