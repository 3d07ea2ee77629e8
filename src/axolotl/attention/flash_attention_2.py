"""FlashAttention 2 over the documents of a flattened row, by its own kernel for rows of documents.

Not the way through transformers: what that finds out about borders depends on arguments that some
models drop on the way; here they come from `position_ids` alone, once for all layers. Interface:
`flash_attn.flash_attn_varlen_func` of flash-attn 2.6 and newer (arXiv 2307.08691).
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from axolotl.attention import Need, Place, Unusable
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

NAME = "per_document_fa2"
"""Without the word by which transformers tells its own way, and prepares masks for it."""
HALF_ONLY = True
"""Whether the kernel knows only half precision."""
_OLDEST_GPU = (8, 0)


def why_not_here(place: Place) -> str | None:
    """It needs the package and a GPU of the Ampere generation or newer."""
    if reason := lacks(place, "flash_attn", "flash-attn"):
        return reason
    if place.capability is not None and place.capability < _OLDEST_GPU:
        return "the GPU is too old for it (it needs Ampere or newer)"
    return None


def why_not(need: Need) -> str | None:
    """Heads of up to 256, and no dropout beside a cap on scores."""
    if reason := needs_interface(need):
        return reason
    if need.head_width > WIDEST:
        return f"the heads of {need.model_type} are {need.head_width} wide, and it knows {WIDEST}"
    if need.softcap and need.dropout:
        return f"{need.model_type} caps scores and drops weights, which it cannot do at once"
    return None


def register() -> None:
    """Make it known to transformers."""
    from transformers import AttentionInterface

    taken = inspect.signature(_kernel()).parameters
    if lacking := {"window_size", "softcap", "alibi_slopes"} - set(taken):
        raise Unusable(f"flash-attn is too old (no {', '.join(sorted(lacking))}): 2.6 is needed")
    AttentionInterface.register(NAME, kernel_function(compute, "flash_attention_2"))


def prove_at(head_width: int) -> None:
    """See that it computes on this GPU what it should with heads of this width."""
    prove(compute, "flash-attn", frozenset({"window", "softcap"}), head_width)


def compute(row: Row) -> torch.Tensor:
    """Attention over the documents of a row.

    Returns:
        As `attend_by`.

    Raises:
        NotServed: the model has attention sinks.
    """
    refuse_features(row, "flash_attention_2", attention_sinks=row.sinks)
    return attend_by(
        _kernel,
        row,
        dropout_p=row.dropout,
        alibi_slopes=None if row.slopes is None else row.slopes.float(),
    )


def _kernel() -> Any:
    def load() -> Any:
        from flash_attn import flash_attn_varlen_func  # pyright: ignore[reportMissingImports]

        return flash_attn_varlen_func

    return imported(load, "flash-attn")
