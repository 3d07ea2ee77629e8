"""Number formats of weights and arithmetic."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from axolotl.config.section import Section


class PrecisionSection(Section):
    """Number formats of weights and arithmetic."""

    bf16: bool | Literal["auto", "full"] = Field(
        default=False,
        description="Compute in bfloat16 (autocast) while trained weights stay in float32; a base that "
        "an adapter leaves frozen is held in bfloat16. `auto` turns it on where there is a GPU that "
        "has it, and on an older GPU `fp16` unless that is written; `full` computes only evaluations in it, with copies of the weights, and leaves the "
        "training as it is.",
    )
    fp16: bool = Field(
        default=False,
        description="Compute in float16 with loss scaling while the weights stay in float32; needs a "
        "GPU.",
    )
    tf32: bool = Field(
        default=False,
        description="Let an NVIDIA GPU (Ampere or newer) multiply float32 matrices in TensorFloat-32: "
        "faster, about three digits.",
    )
    bfloat16: bool = Field(
        default=False,
        description="Hold the weights themselves in bfloat16: half the memory, coarser updates.",
    )
    float16: bool = Field(
        default=False,
        description="Hold the weights themselves in float16: half the memory, overflows easily when "
        "all weights are trained.",
    )
