"""How attention and positions are computed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from axolotl.config.section import Section


class RopeScaling(Section):
    """Stretching of rotary positions."""

    type: Literal["linear", "dynamic"] = Field(
        description="`linear` stretches all positions, `dynamic` only what goes beyond the model's "
        "own length."
    )
    factor: float = Field(gt=1, description="How many times longer than the model's own length.")


class AttentionSection(Section):
    """How attention and positions are computed."""

    attn_implementation: str | None = Field(
        default=None,
        description="Attention to use: `per_document`, `sdpa` or `eager`; by default the first of "
        "them that the model can have.",
        json_schema_extra={"choices": ["per_document", "sdpa", "eager"]},
    )
    flash_attention: bool = Field(
        default=False,
        description="Use FlashAttention; where it is not to be had, attention per document takes its "
        "place, with the same result.",
    )
    xformers_attention: bool = Field(
        default=False,
        description="Use the attention of xFormers; where it is not to be had, attention per document "
        "takes its place, with the same result.",
    )
    sdp_attention: bool = Field(
        default=False,
        description="Old name for `attn_implementation: sdpa`.",
    )
    flash_optimum: bool = Field(
        default=False,
        description="BetterTransformer, which is retired; old name for `attn_implementation: sdpa`.",
    )
    flash_attn_cross_entropy: bool = Field(
        default=False,
        description="Has no effect: the loss is computed only at positions with a label, in pieces; "
        "accepted for files that have it.",
    )
    flash_attn_rms_norm: bool = Field(
        default=False,
        description="Has no effect: norms are those of the model; accepted for files that have it.",
    )
    landmark_attention: bool = Field(
        default=False,
        description="Landmark attention for Llama models (arXiv 2305.16300).",
        json_schema_extra={"pending": True},
    )
    xpos_rope: bool = Field(
        default=False,
        description="xPos rotary positions for Llama models (arXiv 2212.10554).",
        json_schema_extra={"pending": True},
    )
    rope_scaling: RopeScaling | None = Field(
        default=None,
        description="Stretch the rotary positions, for samples longer than the model was made for.",
        json_schema_extra={"pending": True},
    )
