"""How the loss is computed."""

from __future__ import annotations

from pydantic import Field

from axolotl.config.section import Section


class LossSection(Section):
    """How the loss is computed."""

    liger_fused_linear_cross_entropy: bool = Field(
        default=False,
        description="Compute the loss of a training by Liger's fused kernels. Where the package "
        "(extra `liger`) or a GPU is missing, or the output head is no plain linear layer, the loss "
        "is computed in chunks in plain torch, with the same result. Other kernels of Liger, for "
        "norms, rotations and gates, are not used.",
    )
    cut_cross_entropy: bool = Field(
        default=False,
        description="Compute the loss of a training by the kernels of cut-cross-entropy (extra "
        "`cut-cross-entropy`), which hold no logits and need half precision; else as "
        "`liger_fused_linear_cross_entropy` says.",
    )
