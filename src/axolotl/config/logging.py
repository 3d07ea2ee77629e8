"""What is said during training."""

from __future__ import annotations

from pydantic import Field

from axolotl.config.section import Section


class LoggingSection(Section):
    """What is said during training."""

    logging_steps: int | None = Field(
        default=None,
        ge=1,
        description="Optimizer steps between two lines of `metrics.jsonl`; by default half a percent "
        "of all steps, from 1 to 10.",
    )
