"""Rows of a cache of keys and values: put beside others, and taken away.

All rows end in the same column. Where one is shorter, it has padding on the left, which the mask hides;
so a row can join others of any length, and when the longest one leaves, the columns that only it had
are cut off. A layer with a window keeps its last columns alone, and the same holds for these.

B rows, H heads, T columns, D width of a head.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

_KNOWN = (DynamicLayer, DynamicSlidingWindowLayer)


def has_columns(cache: Any) -> bool:
    """Whether a cache holds nothing but keys and values of single columns."""
    layers = getattr(cache, "layers", None)
    return bool(layers) and all(type(layer) in _KNOWN for layer in layers)


def join(cache: Any, width: int, other: Any, other_width: int) -> None:
    """Put the rows of another cache below those of a cache, which is as it was if that fails.

    Args:
        cache: The cache.
        width: How many columns it has seen.
        other: The other cache, of the same model.
        other_width: How many that one has seen.
    """
    whole = max(width, other_width)
    found = [
        (_below(a.keys, b.keys, columns), _below(a.values, b.values, columns))
        for a, b in zip(_filled(cache), _filled(other), strict=True)
        for columns in [_kept(a, whole)]
    ]
    _set(cache, found, whole)


def keep(cache: Any, rows: list[int], width: int) -> None:
    """Keep some rows, and of them the last columns.

    One matrix after the other, so that memory holds no second copy of the whole cache. If that fails,
    the cache cannot be used any more.

    Args:
        cache: The cache.
        rows: Numbers of the rows.
        width: How many columns are kept.
    """
    for layer in _filled(cache):
        which = torch.tensor(rows, device=layer.keys.device)
        last = slice(layer.keys.shape[-2] - _kept(layer, width), None)
        # The columns first, which copies nothing: what is cut off is not to be kept by a view.
        layer.keys = layer.keys[:, :, last][which]
        layer.values = layer.values[:, :, last][which]
        if layer.is_sliding:
            layer.cumulative_length = width


def _filled(cache: Any) -> list[Any]:
    """Its layers, but for those that use another one's keys and values."""
    return [layer for layer in cache.layers if layer.is_initialized]


def _kept(layer: Any, width: int) -> int:
    """How many columns a layer holds of so many."""
    return min(width, layer.sliding_window - 1) if layer.is_sliding else width


def _below(upper: Tensor, lower: Tensor, columns: int) -> Tensor:
    """Two tensors (B, H, T, D) as one, with so many columns."""
    return torch.cat([_padded(upper, columns), _padded(lower, columns)])


def _padded(states: Tensor, columns: int) -> Tensor:
    return torch.nn.functional.pad(states, (0, 0, columns - states.shape[-2], 0))


def _set(cache: Any, found: list[tuple[Tensor, Tensor]], width: int) -> None:
    for layer, (keys, values) in zip(_filled(cache), found, strict=True):
        layer.keys, layer.values = keys, values
        if layer.is_sliding:
            layer.cumulative_length = width
