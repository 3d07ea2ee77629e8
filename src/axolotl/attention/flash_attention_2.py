"""FlashAttention 2 over the documents of a flattened row, by its own kernel for rows of documents.

Not the way through transformers: what that finds out about borders depends on arguments that some
models drop on the way; here they come from `position_ids` alone, once for all layers. Interface:
`flash_attn.flash_attn_varlen_func` of flash-attn 2.6 and newer (arXiv 2307.08691).
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from axolotl.attention import Need, Place, Unusable
from axolotl.attention._kernel import (
    imported,
    in_half_precision,
    kernel_function,
    lacks,
    needs_interface,
    prove,
    refuse_features,
)
from axolotl.attention._plain import attend_documents
from axolotl.attention._row import Row

if TYPE_CHECKING:
    import torch

NAME = "per_document_fa2"
"""Without the word by which transformers tells its own way, and prepares masks for it."""
HALF_ONLY = True
"""Whether the kernel knows only half precision."""
_WIDEST = 256
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
    if need.head_width > _WIDEST:
        return f"the heads of {need.model_type} are {need.head_width} wide, and it knows {_WIDEST}"
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
        (1, T, H, width), in half precision; a row in float32 outside of autocast is computed in
        plain torch, since the kernel would round it.

    Raises:
        NotServed: the model has attention sinks.
    """
    import torch

    refuse_features(row, "flash_attention_2", attention_sinks=row.sinks)
    half = in_half_precision(row)
    if half is None:
        return attend_documents(row)
    query, key, value, width = flat(half)
    cumulative, longest = row.borders.cumulative, row.borders.longest
    output = _kernel()(
        query,
        key,
        value,
        cu_seqlens_q=cumulative,
        cu_seqlens_k=cumulative,
        max_seqlen_q=longest,
        max_seqlen_k=longest,
        dropout_p=row.dropout,
        softmax_scale=row.scale,
        causal=True,
        window_size=seen(row),
        softcap=row.softcap or 0.0,
        alibi_slopes=None if row.slopes is None else row.slopes.float(),
        deterministic=torch.are_deterministic_algorithms_enabled(),
    )
    return output[None, :, :, :width]


def flat(row: Row) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]:
    """Query, key and value as (T, heads, D), and how much of the width is the value's own."""
    import torch

    query, key, value = (x[0].transpose(0, 1) for x in (row.query, row.key, row.value))
    width = value.shape[-1]
    if width < query.shape[-1]:  # one width for all three
        value = torch.nn.functional.pad(value, (0, query.shape[-1] - width))
    return query, key, value, width


def seen(row: Row) -> tuple[int, int]:
    """How many tokens to the left and to the right of itself a token sees; -1 for all."""
    window = row.window_in_use
    return (-1, -1) if window is None else (window - 1, 0)


def _kernel() -> Any:
    def load() -> Any:
        from flash_attn import flash_attn_varlen_func  # pyright: ignore[reportMissingImports]

        return flash_attn_varlen_func

    return imported(load, "flash-attn")
