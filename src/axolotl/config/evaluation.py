"""When the held-out loss is computed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from axolotl.config.section import CountOrShare, Section


class EvaluationSection(Section):
    """When the held-out loss is computed."""

    eval_steps: CountOrShare | None = Field(
        default=None,
        gt=0,
        description="Optimizer steps between two evaluations, or a share of all steps below 1.",
    )
    evaluation_strategy: Literal["no", "epoch", "steps"] | None = Field(
        default=None,
        description="When the held-out loss is computed; by default `no` without held-out rows, "
        "`steps` if `eval_steps` is set, else `epoch`.",
    )
