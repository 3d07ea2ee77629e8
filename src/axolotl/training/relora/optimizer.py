"""An optimizer that forgets: moments to zero, step counts to zero."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from typing import Any

import torch

_KEPT = ("qmap", "eps")
"""Parts of the names of what is no memory: what 8-bit codes stand for, and constants."""
_COUNTERS = ("step", "k")
_IN_GROUPS = (*_COUNTERS, "state")
"""What some optimizers keep beside their options instead of in `state`."""
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
    for group in optimizer.param_groups:
        beside = {key: group[key] for key in _IN_GROUPS if key in group}
        _reset(beside)
        group.update(beside)


def _reset(state: MutableMapping[Any, Any]) -> None:
    for key, value in state.items():
        if any(part in str(key) for part in _KEPT):
            continue
        if isinstance(value, torch.Tensor):
            _to_zero(value)
        elif isinstance(value, MutableMapping):
            _reset(value)
        elif key in _COUNTERS and isinstance(value, int | float):
            state[key] = type(value)(0)


def _to_zero(value: torch.Tensor) -> None:
    if not hasattr(value, "__tensor_flatten__"):
        value.detach().zero_()
        return
    inner: Any = value  # torchao's quantised states: codes, scales, and what the codes stand for
    for name in inner.__tensor_flatten__()[0]:
        if not any(part in name for part in _KEPT):
            getattr(inner, name).zero_()


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
