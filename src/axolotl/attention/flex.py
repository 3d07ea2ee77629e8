"""torch's flex attention over the documents of a flattened row: one kernel, compiled on a GPU.

Which blocks of the square hold anything is worked out from the lengths, so no square over the row
is made. torch has no gradients for it on a CPU.

Letters: T tokens of the row, H heads, D head width.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from axolotl.attention import Need, Place
from axolotl.attention._kernel import kernel_function, needs_interface, prove, refuse_features
from axolotl.attention._row import Row

if TYPE_CHECKING:
    import torch

NAME = "per_document_flex"
_BLOCK_TOKENS = 128
"""Side of the squares that are left out or computed; the kernel's own."""


def why_not_here(place: Place) -> str | None:
    """It needs a GPU."""
    return None if place.gpu else "there is no GPU here, and torch cannot train with it on a CPU"


def why_not(need: Need) -> str | None:
    """It drops no weights."""
    if reason := needs_interface(need):
        return reason
    if need.dropout:
        return f"{need.model_type} drops attention weights, which flex attention cannot do"
    return None


def register() -> None:
    """Make it known to transformers."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, kernel_function(compute, "flex"))


def prove_at(head_width: int) -> None:
    """See that it computes on this GPU what it should with heads of this width."""
    prove(compute, "flex attention", frozenset({"window", "softcap"}), head_width)


def compute(row: Row) -> torch.Tensor:
    """Attention over the documents of a row.

    Returns:
        (1, T, H, width), in the dtype of the values.

    Raises:
        NotServed: the model has attention sinks or drops weights.
    """
    refuse_features(
        row,
        "flex attention",
        attention_sinks=row.sinks,
        dropout_of_attention_weights=row.dropout,
    )
    dtype = row.value.dtype
    mask = row.borders.once(("flex", row.window_in_use), lambda: block_mask(row))
    output = _kernel(row.query.device.type)(
        row.query.to(dtype),
        row.key.to(dtype),
        row.value,
        score_mod=_change(row.softcap, row.slopes),
        block_mask=mask,
        scale=row.scale,
        enable_gqa=row.query.shape[1] != row.key.shape[1],
    )
    return output.transpose(1, 2)


def _change(softcap: float | None, slopes: torch.Tensor | None) -> Callable[..., Any] | None:
    """What happens to a score after scaling: capped, then lowered by distance; None for nothing."""
    if softcap is None and slopes is None:
        return None

    def change(score: Any, _batch: Any, head: Any, query: Any, key: Any) -> Any:
        import torch

        if softcap is not None:
            score = softcap * torch.tanh(score / softcap)
        if slopes is not None:
            score = score - slopes[head] * (query - key)
        return score

    return change


def block_mask(row: Row) -> Any:
    """Which blocks of the row's square are computed, and which of them need a look at each score.

    A block is whole where all its keys lie in the document and the past of all its queries, partial
    where some do, and otherwise left out. Both are told by the ends of the block.
    """
    import torch
    from torch.nn.attention.flex_attention import BlockMask

    tokens, device = row.query.shape[2], row.query.device
    window = row.window_in_use
    lengths = torch.tensor(row.borders.lengths, device=device)
    document = torch.repeat_interleave(torch.arange(len(lengths), device=device), lengths)

    def past_of_document(_batch: Any, _head: Any, query: Any, key: Any) -> Any:
        return (document[query] == document[key]) & (query >= key)

    def near_past(batch: Any, head: Any, query: Any, key: Any) -> Any:
        return past_of_document(batch, head, query, key) & (query - key < window)

    first = torch.arange(0, tokens, _BLOCK_TOKENS, device=device)
    last = (first + _BLOCK_TOKENS - 1).clamp(max=tokens - 1)
    begins, ends = document[first], document[last]
    some = (first[:, None] >= first[None, :]) & (ends[None, :] >= begins[:, None])
    whole = (first[:, None] > last[None, :]) & (begins[None, :] == ends[:, None])
    if window is not None:
        some &= first[:, None] - last[None, :] < window
        whole &= last[:, None] - first[None, :] < window
    # The last block may stick out behind the row.
    whole &= (last - first == _BLOCK_TOKENS - 1)[:, None]
    return BlockMask.from_kv_blocks(
        *_listed(some & ~whole),
        *_listed(whole),
        BLOCK_SIZE=_BLOCK_TOKENS,
        mask_mod=past_of_document if window is None else near_past,
        seq_lengths=(tokens, tokens),
    )


def _listed(blocks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """How many blocks each line has, and their numbers in front; int32, with batch and head."""
    import torch

    numbers = torch.argsort(blocks.to(torch.int8), dim=1, descending=True, stable=True)
    counts = blocks.sum(dim=1, dtype=torch.int32)
    return counts[None, None], numbers.to(torch.int32)[None, None]


@cache
def _kernel(device: str) -> Callable[..., Any]:
    """Compiled once for rows of all lengths; on a CPU, where only tests take it, step by step."""
    import torch
    from torch.nn.attention.flex_attention import flex_attention

    return flex_attention if device == "cpu" else torch.compile(flex_attention, dynamic=True)
