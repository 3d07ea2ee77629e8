"""Schedule-free optimizers: an average of the weights in the place of a falling rate (arXiv 2405.15682)."""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from axolotl.optimizers import ADAM, Facts, OptimizerOptions


class Options(OptimizerOptions):
    """The average."""

    r: float = Field(0.0, ge=0, description="Later weights count more, by this power of the step.")
    weight_lr_power: float = Field(
        2.0, ge=0, description="Weights count by this power of the highest rate so far."
    )


class SgdOptions(Options):
    """Of `schedule_free_sgd`."""

    momentum: float = Field(0.9, gt=0, lt=1, description="Between the average and the last step.")


_KEPT = frozenset(["k", "train_mode", "weight_sum", "lr_max", "scheduled_lr"])
_ADAM = Facts(
    takes=ADAM,
    options=Options,
    package="schedulefree",
    extra="optimizers",
    averages=True,
    kept=_KEPT,
)
OPTIMIZERS = {
    "schedule_free_adamw": _ADAM,
    "schedule_free_radam": _ADAM,
    "schedule_free_sgd": replace(_ADAM, takes=frozenset[str](), options=SgdOptions),
}
