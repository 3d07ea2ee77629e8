"""The course of the learning rate."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from axolotl.config.section import Section


class ScheduleSection(Section):
    """The course of the learning rate."""

    lr_scheduler: str = Field(
        default="cosine",
        min_length=1,
        description="Course of the learning rate after the warm-up: `cosine`, `linear`, `constant`, "
        "or `constant_with_warmup`.",
    )
    lr_scheduler_kwargs: dict[str, Any] | None = Field(
        default=None, description="Further options of the schedule, by their names."
    )
    warmup_steps: int | None = Field(
        default=None,
        ge=0,
        description="Optimizer steps in which the learning rate rises from 0; by default 3 % of all "
        "steps, at most 100.",
    )
    warmup_ratio: float | None = Field(
        default=None, ge=0, le=1, description="The same as a share of all steps."
    )
