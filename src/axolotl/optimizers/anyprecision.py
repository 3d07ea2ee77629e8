"""AdamW whose states may have another precision than the weights."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from axolotl.optimizers import ADAM, Facts, OptimizerOptions

Precision = Literal["float32", "bfloat16", "float16"]


class Options(OptimizerOptions):
    """The precision of each state."""

    use_kahan_summation: bool = Field(
        False, description="Keep what rounding loses of every step, and add it to the next."
    )
    momentum_dtype: Precision = Field("float32", description="Of the mean of the gradients.")
    variance_dtype: Precision = Field("float32", description="Of the mean of their squares.")
    compensation_buffer_dtype: Precision = Field("bfloat16", description="Of what rounding lost.")


OPTIMIZERS = {"adamw_anyprecision": Facts(takes=ADAM, options=Options)}
