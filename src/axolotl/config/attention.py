"""How attention is computed."""

from __future__ import annotations

from pydantic import Field

from axolotl.config.section import Section


class AttentionSection(Section):
    """How attention is computed."""

    attn_implementation: str | None = Field(
        default=None,
        description="Attention to use: `per_document`, `sdpa` or `eager`; by default the first of "
        "them that the model can have.",
    )
