"""Causal attention over each document of a flattened row by itself, in plain torch.

Documents begin where `position_ids` is 0. Each gets its own causal kernel, so no square mask over
the row exists and no score between documents is computed: 3 to 5 times faster than the masked
square on a CPU for rows of short documents, and equal to it. Sliding windows, capped scores, ALiBi,
attention sinks and grouped heads are computed as well.

Training only: it knows no cache of keys and values. Answers are generated with `sdpa`.
"""

from __future__ import annotations

from axolotl.attention import Need
from axolotl.attention._plain import attend_documents
from axolotl.attention._row import NotServed, attention_of, document_lengths

__all__ = ["NAME", "NotServed", "attend", "document_lengths", "register", "why_not"]

NAME = "per_document"

attend = attention_of(attend_documents, NAME)
"""Attention as transformers' `AttentionInterface` asks for it."""


def why_not(need: Need) -> str | None:
    """It needs a model that calls registered attention functions and keeps its rows whole."""
    if not need.interface:
        return f"{need.model_type} does not call registered attention functions"
    if need.chunked:
        return f"{need.model_type} cuts its rows into chunks, which it cannot do"
    return None


def register() -> None:
    """Make `attn_implementation="per_document"` known to transformers."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)
