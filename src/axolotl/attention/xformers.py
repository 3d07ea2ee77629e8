"""Memory-efficient attention of xFormers over the documents of a flattened row.

Interface: `xformers.ops.memory_efficient_attention` with a `BlockDiagonalCausalMask` of the
documents' lengths (arXiv 2112.05682). Grouped heads are spread out before: the kernel's own way
with them has no gradients. It knows float32 too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from axolotl.attention import Need, Place
from axolotl.attention._kernel import (
    imported,
    kernel_function,
    lacks,
    needs_interface,
    prove,
    refuse_features,
)
from axolotl.attention._row import Row

if TYPE_CHECKING:
    import torch

NAME = "per_document_xformers"


def why_not_here(place: Place) -> str | None:
    """It needs the package and a GPU."""
    return lacks(place, "xformers", "xformers")


def why_not(need: Need) -> str | None:
    """It knows no cap on scores."""
    if reason := needs_interface(need):
        return reason
    if need.softcap:
        return f"{need.model_type} caps its attention scores, which xformers cannot do"
    return None


def register() -> None:
    """Make it known to transformers."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, kernel_function(compute, "xformers"))


def prove_at(head_width: int) -> None:
    """See that it computes on this GPU what it should with heads of this width."""
    prove(compute, "xformers", frozenset({"window"}), head_width)


def compute(row: Row) -> torch.Tensor:
    """Attention over the documents of a row.

    Returns:
        (1, T, H, width), in the dtype of the values, or in that of autocast.

    Raises:
        NotServed: the model has capped scores, ALiBi or attention sinks.
    """
    refuse_features(
        row,
        "xformers",
        capped_scores=row.softcap,
        ALiBi=row.slopes,
        attention_sinks=row.sinks,
    )
    dtype = _dtype(row)
    heads = row.query.shape[1]
    query, key, value = (
        _spread(x.transpose(1, 2).to(dtype), heads) for x in (row.query, row.key, row.value)
    )
    window = row.window_in_use
    bias = row.borders.once(("xformers", window), lambda: _bias(row, window))
    return _ops().memory_efficient_attention(
        query, key, value, attn_bias=bias, p=row.dropout, scale=row.scale
    )


def _bias(row: Row, window: int | None) -> Any:
    bias = _ops().fmha.attn_bias.BlockDiagonalCausalMask.from_seqlens(
        row.borders.lengths, device=row.query.device
    )
    return bias if window is None else bias.make_local_attention(window)


def _spread(x: torch.Tensor, heads: int) -> torch.Tensor:
    """(1, T, groups, D) → (1, T, H, D); the heads of a group stand side by side."""
    return x if x.shape[2] == heads else x.repeat_interleave(heads // x.shape[2], dim=2)


def _dtype(row: Row) -> torch.dtype:
    """One format for all three: autocast's, else that of the values."""
    import torch

    place = row.query.device.type
    return torch.get_autocast_dtype(place) if torch.is_autocast_enabled(place) else row.value.dtype


def _ops() -> Any:
    def load() -> Any:
        import xformers.ops  # pyright: ignore[reportMissingImports]

        return xformers.ops

    return imported(load, "xformers")
