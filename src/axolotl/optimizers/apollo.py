"""APOLLO: SGD whose rates by channel come from Adam on a low rank (arXiv 2412.05270)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from axolotl.optimizers import ADAM, Facts, OptimizerOptions


class Options(OptimizerOptions):
    """The projection."""

    rank: int = Field(128, ge=1, description="Rank of the projected gradients.")
    proj: Literal["random", "svd"] = Field("random", description="What they are projected with.")
    scale_type: Literal["channel", "tensor"] = Field("channel", description="What has a rate.")
    update_proj_gap: int = Field(200, ge=1, description="Steps between two new projections.")
    scale: float = Field(1.0, gt=0, description="Steps are multiplied with its square root.")
    proj_type: Literal["std", "reverse_std", "right", "left"] = Field(
        "std", description="The side that is projected."
    )


OPTIMIZERS = {
    "apollo_adamw": Facts(
        takes=ADAM, options=Options, package="apollo_torch", extra="optimizers", projects=True
    )
}
