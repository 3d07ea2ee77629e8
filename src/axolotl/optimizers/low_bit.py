"""AdamW of torchao, with states in few bits."""

from __future__ import annotations

from pydantic import Field

from axolotl.optimizers import ADAM, Facts, OptimizerOptions


class Options(OptimizerOptions):
    """Of both."""

    block_size: int | None = Field(
        None, ge=1, description="Numbers that share a scale; 256 by default, 128 with 4 bits."
    )
    bf16_stochastic_round: bool = Field(
        False, description="Round weights in bfloat16 up or down by chance."
    )


_FACTS = Facts(takes=ADAM, options=Options, package="torchao", extra="optimizers")
OPTIMIZERS = {"adamw_torch_4bit": _FACTS, "adamw_torch_8bit": _FACTS}
