"""GaLore: Adam on a projection of the gradients to a low rank (arXiv 2403.03507)."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pydantic import Field

from axolotl.optimizers import ADAM, Facts, OptimizerOptions


class Options(OptimizerOptions):
    """The projection."""

    rank: int = Field(128, ge=1, description="Rank of the projected gradients.")
    update_proj_gap: int = Field(200, ge=1, description="Steps between two new projections.")
    scale: float = Field(0.25, gt=0, description="What projected steps are multiplied with.")
    proj_type: Literal["std", "reverse_std", "right", "left"] = Field(
        "std", description="The side that is projected."
    )


_ADAM = Facts(
    takes=ADAM, options=Options, package="galore_torch", extra="optimizers", projects=True
)
OPTIMIZERS = {
    "galore_adamw": _ADAM,
    "galore_adafactor": replace(_ADAM, takes=frozenset[str]()),
}
