"""Optimizers of bitsandbytes: states in 8 bits, or in memory that is paged between GPU and CPU."""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from axolotl.optimizers import ADAM, Facts, OptimizerOptions


class Options(OptimizerOptions):
    """Of all of them."""

    min_8bit_size: int = Field(
        4096, ge=1, description="States of smaller weights have 32 bits; only with 8 bits."
    )


class AdemamixOptions(Options):
    """Of the `ademamix` ones."""

    alpha: float = Field(5.0, ge=0, description="Weight of the slow mean.")
    t_alpha: int | None = Field(None, ge=1, description="Steps until alpha is reached.")
    t_beta3: int | None = Field(None, ge=1, description="Steps until adam_beta3 is reached.")


class RmspropOptions(Options):
    """Of the `rmsprop` ones."""

    alpha: float = Field(0.99, gt=0, lt=1, description="Decay of the mean of the squares.")
    eps: float = Field(1e-8, gt=0, description="For numerical stability.")
    momentum: float = Field(0.0, ge=0, description="How much of the last step is kept.")


_ADAM = Facts(takes=ADAM, options=Options, package="bitsandbytes", extra="bnb")
_LION = replace(_ADAM, takes=frozenset(["adam_beta1", "adam_beta2"]))
_ADEMAMIX = replace(_ADAM, takes=ADAM | {"adam_beta3"}, options=AdemamixOptions)
_RMSPROP = replace(_ADAM, takes=frozenset[str](), options=RmspropOptions)
OPTIMIZERS = {
    **dict.fromkeys(
        ["adamw_bnb_8bit", "adamw_8bit", "paged_adamw_32bit", "paged_adamw_8bit"], _ADAM
    ),
    **dict.fromkeys(["lion_8bit", "lion_32bit", "paged_lion_32bit", "paged_lion_8bit"], _LION),
    **dict.fromkeys(
        ["ademamix", "ademamix_8bit", "paged_ademamix_32bit", "paged_ademamix_8bit"], _ADEMAMIX
    ),
    **dict.fromkeys(["rmsprop_bnb", "rmsprop_bnb_8bit", "rmsprop_bnb_32bit"], _RMSPROP),
}
