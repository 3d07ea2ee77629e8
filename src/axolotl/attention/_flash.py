"""What FlashAttention 2 and 3 have in common: one call over the documents of a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from axolotl.attention._kernel import in_half_precision
from axolotl.attention._plain import attend_documents

if TYPE_CHECKING:
    import torch

    from axolotl.attention._row import Row

WIDEST = 256
"""Widest heads that they know."""


def attend_by(kernel: Callable[[], Any], row: Row, **more: Any) -> torch.Tensor:
    """Attention over the documents of a row.

    Args:
        kernel: Gives the kernel for sequences of various lengths.
        row: The row.
        more: Arguments that only one of the two takes.

    Returns:
        (1, T, H, width), in half precision; a row in float32 outside of autocast is computed in
        plain torch, since the kernel would round it.
    """
    import torch

    half = in_half_precision(row)
    if half is None:
        return attend_documents(row)
    query, key, value, width = _flat(half)
    cumulative, longest = row.borders.cumulative, row.borders.longest
    output = kernel()(
        query,
        key,
        value,
        cu_seqlens_q=cumulative,
        cu_seqlens_k=cumulative,
        max_seqlen_q=longest,
        max_seqlen_k=longest,
        softmax_scale=row.scale,
        causal=True,
        window_size=_seen(row),
        softcap=row.softcap or 0.0,
        deterministic=torch.are_deterministic_algorithms_enabled(),
        **more,
    )
    # Early versions of FlashAttention 3 give the logarithms of the sums besides.
    output = output[0] if isinstance(output, tuple) else output
    return output[None, :, :, :width]


def _flat(row: Row) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]:
    """Query, key and value as (T, heads, D), and how much of the width is the value's own."""
    import torch

    query, key, value = (x[0].transpose(0, 1) for x in (row.query, row.key, row.value))
    width = value.shape[-1]
    if width < query.shape[-1]:  # one width for all three
        value = torch.nn.functional.pad(value, (0, query.shape[-1] - width))
    return query, key, value, width


def _seen(row: Row) -> tuple[int, int]:
    """How many tokens to the left and to the right of itself a token sees; -1 for all."""
    window = row.window_in_use
    return (-1, -1) if window is None else (window - 1, 0)
