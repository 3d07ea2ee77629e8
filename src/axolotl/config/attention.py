"""How attention and positions are computed."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from axolotl.config.section import Section


class RopeScaling(Section):
    """Stretching of rotary positions; each kind takes the parameters that its formula has.

    The names are those of transformers' `rope_parameters`; `rope_type` is read as `type`.
    """

    type: Literal["linear", "dynamic", "yarn", "llama3", "longrope"] = Field(
        description="`linear` stretches all positions; `dynamic`, by its length, only a sample that "
        "is longer than the model's own length; `yarn` stretches slow rotations and leaves fast ones; "
        "`llama3` too, with other borders; `longrope` has a factor for each rotation."
    )
    factor: float | None = Field(
        default=None, gt=1, description="How many times longer than the model's own length."
    )
    original_max_position_embeddings: int | None = Field(
        default=None,
        gt=0,
        description="The model's own length in tokens; by default what its config.json says. Needed "
        "where the base model is stretched already and does not say.",
    )
    attention_factor: float | None = Field(
        default=None,
        gt=0,
        description="By what the rotated queries and keys are multiplied, with `yarn` and `longrope`; "
        "by default it follows from `factor`.",
    )
    beta_fast: float | None = Field(
        default=None,
        gt=0,
        description="With `yarn`: rotations that turn at least so often within the model's own length "
        "are left as they are; 32 by default.",
    )
    beta_slow: float | None = Field(
        default=None,
        gt=0,
        description="With `yarn`: rotations that turn at most so often are stretched in full; 1 by "
        "default.",
    )
    mscale: float | None = Field(
        default=None,
        gt=0,
        description="With `yarn`, together with `mscale_all_dim`: weight of the logarithm of `factor` "
        "in the attention factor.",
    )
    mscale_all_dim: float | None = Field(
        default=None,
        gt=0,
        description="With `yarn`, together with `mscale`: the same, in what the attention factor is "
        "divided by.",
    )
    truncate: bool | None = Field(
        default=None,
        description="With `yarn`: whether the borders between rotations are rounded to whole ones; "
        "true by default.",
    )
    low_freq_factor: float | None = Field(
        default=None,
        gt=0,
        description="With `llama3`: rotations that turn less often than this within the model's own "
        "length are stretched in full; 1 in Llama 3.1.",
    )
    high_freq_factor: float | None = Field(
        default=None,
        gt=0,
        description="With `llama3`: rotations that turn more often than this are left as they are; 4 "
        "in Llama 3.1.",
    )
    short_factor: list[float] | None = Field(
        default=None,
        min_length=1,
        description="With `longrope`: by what each rotation is stretched in samples up to the model's "
        "own length; half as many numbers as a head has rotated dimensions.",
    )
    long_factor: list[float] | None = Field(
        default=None,
        min_length=1,
        description="With `longrope`: the same in longer samples.",
    )

    def parameters(self) -> dict[str, Any]:
        """What is set, under the names of transformers' `rope_parameters`.

        >>> RopeScaling(type="linear", factor=4).parameters()
        {'rope_type': 'linear', 'factor': 4.0}
        """
        return {"rope_type": self.type, **self.model_dump(exclude={"type"}, exclude_none=True)}


class AttentionSection(Section):
    """How attention and positions are computed."""

    attn_implementation: str | None = Field(
        default=None,
        description="Attention to use: by default the first of `per_document`, `sdpa` and `eager` "
        "that the model can have. `flash_attention_2`, `flash_attention_3`, `xformers` and `flex` "
        "need a GPU, and all but the last a package; one that cannot run is refused.",
        json_schema_extra={
            "choices": [
                *("per_document", "sdpa", "eager"),
                *("flash_attention_2", "flash_attention_3", "xformers", "flex"),
            ]
        },
    )
    flash_attention: bool = Field(
        default=False,
        description="Use FlashAttention, the third where it runs, else the second; where neither does "
        "(no GPU, no package, float32), attention per document takes its place, with the same result.",
    )
    xformers_attention: bool = Field(
        default=False,
        description="Use the attention of xFormers; where it does not run (no GPU, no package), "
        "attention per document takes its place, with the same result.",
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
        description="Old name for `liger_fused_linear_cross_entropy: true`.",
    )
    flash_attn_rms_norm: bool = Field(
        default=False,
        description="Has no effect: norms are those of the model, and there is no fused one; accepted "
        "for files that have it.",
    )
    landmark_attention: bool = Field(
        default=False,
        description="Landmark attention for Llama models (arXiv 2305.16300): a token `<landmark>` "
        "stands behind every 50 others of a sample, and earlier blocks are read through it; answers "
        "read the last 5 blocks and the 5 older ones that fit best. `sequence_len` counts landmarks.",
    )
    xpos_rope: bool = Field(
        default=False,
        description="xPos rotary positions for Llama models (arXiv 2212.10554), whose products fade "
        "with distance; only this tool reads the trained model rightly.",
    )
    rope_scaling: RopeScaling | None = Field(
        default=None,
        description="Stretch the rotary positions, for samples longer than the model was made for; the "
        "result's config.json carries it, or base_config.json beside an adapter.",
    )
