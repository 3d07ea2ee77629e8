"""FlashAttention 3 over the documents of a flattened row, for Hopper GPUs.

Interface: `flash_attn_interface.flash_attn_varlen_func` of the `hopper` folder of flash-attention
(arXiv 2407.08608). It drops no weights and has no ALiBi.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from axolotl.attention import Need, Place
from axolotl.attention._flash import WIDEST, attend_by
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

NAME = "per_document_fa3"
HALF_ONLY = True
"""Whether the kernel knows only half precision."""
_GPUS = ((8, 0), (9, 0))
"""Compute capability of the GPUs that it is written for: Ampere, Ada and Hopper."""


def why_not_here(place: Place) -> str | None:
    """It needs the package and a GPU that it is written for."""
    if reason := lacks(place, "flash_attn_interface", "flash-attn-3"):
        return reason
    oldest, newest = _GPUS
    if place.capability is not None and not oldest <= place.capability <= newest:
        return "it is written for Hopper GPUs, and for Ampere and Ada"
    return None


def why_not(need: Need) -> str | None:
    """Heads of up to 256, and no dropout."""
    if reason := needs_interface(need):
        return reason
    if need.head_width > WIDEST:
        return f"the heads of {need.model_type} are {need.head_width} wide, and it knows {WIDEST}"
    if need.dropout:
        return f"{need.model_type} drops attention weights, which it cannot do"
    return None


def register() -> None:
    """Make it known to transformers."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, kernel_function(compute, "flash_attention_3"))


def prove_at(head_width: int) -> None:
    """See that it computes on this GPU what it should with heads of this width."""
    prove(compute, "flash-attn-3", frozenset({"window", "softcap"}), head_width)


def compute(row: Row) -> torch.Tensor:
    """Attention over the documents of a row.

    Returns:
        As `attend_by`.

    Raises:
        NotServed: the model has ALiBi, attention sinks or drops weights.
    """
    refuse_features(
        row,
        "flash_attention_3",
        attention_sinks=row.sinks,
        ALiBi=row.slopes,
        dropout_of_attention_weights=row.dropout,
    )
    return attend_by(_kernel, row)


def _kernel() -> Any:
    def load() -> Any:
        import flash_attn_interface  # pyright: ignore[reportMissingImports]

        return flash_attn_interface.flash_attn_varlen_func

    return imported(load, "flash-attn-3")
