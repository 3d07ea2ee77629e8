"""GrokAdamW: AdamW that amplifies what changes slowly in the gradients."""

from __future__ import annotations

from pydantic import Field

from axolotl.optimizers import ADAM, Facts, OptimizerOptions


class Options(OptimizerOptions):
    """The amplification."""

    alpha_init: float = Field(0.98, ge=0, le=1, description="Decay of the slow mean.")
    lamb: float = Field(2.0, ge=0, description="Weight of the slow mean.")
    gamma: float = Field(0.1, ge=0, lt=1, description="How much faster later weights forget.")
    grokking_signal_decay_rate: float = Field(0.1, ge=0, description="Weight of the signal.")
    gradient_clipping: float = Field(1.0, ge=0, description="Norm of each weight's gradient.")


OPTIMIZERS = {
    "grokadamw": Facts(takes=ADAM, options=Options, package="grokadamw", extra="optimizers")
}
