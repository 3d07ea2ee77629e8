"""Optimizers of torch and transformers themselves."""

from __future__ import annotations

from pydantic import Field, model_validator

from axolotl.optimizers import ADAM, Facts, OptimizerOptions


class SgdOptions(OptimizerOptions):
    """Of `sgd`."""

    momentum: float = Field(0.0, ge=0, lt=1, description="How much of the last step is kept.")
    dampening: float = Field(0.0, description="How much less of the gradient joins the momentum.")
    nesterov: bool = Field(False, description="Nesterov's momentum.")

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> SgdOptions:
        if self.nesterov and (not self.momentum or self.dampening):
            raise ValueError("nesterov needs momentum, and no dampening")
        return self


class AdagradOptions(OptimizerOptions):
    """Of `adagrad`."""

    lr_decay: float = Field(0.0, ge=0, description="The rate is divided by 1 + steps x this.")
    eps: float = Field(1e-10, gt=0, description="For numerical stability.")


class RmspropOptions(OptimizerOptions):
    """Of `rmsprop`."""

    momentum: float = Field(0.0, ge=0, description="How much of the last step is kept.")
    alpha: float = Field(0.99, ge=0, lt=1, description="Decay of the mean of the squares.")
    eps: float = Field(1e-8, gt=0, description="For numerical stability.")
    centered: bool = Field(False, description="Divide by the variance instead of the squares.")


class AdafactorOptions(OptimizerOptions):
    """Of `adafactor`."""

    clip_threshold: float = Field(1.0, gt=0, description="Root mean square of the largest step.")
    decay_rate: float = Field(-0.8, lt=0, description="Of the mean of the squares, by steps.")
    beta1: float | None = Field(None, ge=0, lt=1, description="A mean of gradients; none.")
    scale_parameter: bool = Field(False, description="Scale the rate by the size of the weights.")


OPTIMIZERS = {
    "adamw_torch": Facts(takes=ADAM),
    "adamw_torch_fused": Facts(takes=ADAM),
    "adafactor": Facts(takes=frozenset(["adam_epsilon2"]), options=AdafactorOptions),
    "sgd": Facts(options=SgdOptions),
    "adagrad": Facts(options=AdagradOptions),
    "rmsprop": Facts(options=RmspropOptions),
}
