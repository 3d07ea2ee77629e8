"""Optimizers of torch-optimi, which loses nothing of small steps where weights have 16 bits."""

from __future__ import annotations

from pydantic import Field

from axolotl.optimizers import ADAM, Facts, OptimizerOptions


class Options(OptimizerOptions):
    """Of all of them."""

    decouple_lr: bool = Field(False, description="The decay does not follow the learning rate.")
    max_lr: float | None = Field(None, gt=0, description="Highest rate, for decouple_lr.")
    kahan_sum: bool | None = Field(
        None, description="Keep what rounding loses; by default where weights have 16 bits."
    )


_FACTS = Facts(
    takes=ADAM,
    options=Options,
    package="optimi",
    extra="optimizers",
    kept=frozenset(["setup", "step", "triton", "foreach", "kahan_sum"]),
)
OPTIMIZERS = {"stable_adamw": _FACTS, "optimi_adamw": _FACTS}
