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
        description="Course of the learning rate after the warm-up: `cosine`, `cosine_with_restarts`, "
        "`cosine_with_min_lr`, `cosine_warmup_with_min_lr`, `linear`, `polynomial`, `inverse_sqrt`, "
        "`rex`, `constant`, `constant_with_warmup`, `warmup_stable_decay`, `one_cycle` or `log_sweep`; "
        "`reduce_lr_on_plateau` follows the held-out loss, and `greedy` that or the loss of the log "
        "lines.",
        json_schema_extra={
            "choices": [
                "cosine",
                "cosine_with_restarts",
                "cosine_with_min_lr",
                "cosine_warmup_with_min_lr",
                "linear",
                "polynomial",
                "inverse_sqrt",
                "rex",
                "constant",
                "constant_with_warmup",
                "warmup_stable_decay",
                "one_cycle",
                "log_sweep",
                "reduce_lr_on_plateau",
                "greedy",
            ]
        },
    )
    lr_scheduler_kwargs: dict[str, Any] | None = Field(
        default=None, description="Further options of the schedule, by their names."
    )
    warmup_steps: int | None = Field(
        default=None,
        ge=0,
        description="Optimizer steps in which the learning rate rises from 0; by default 3 % of all "
        "steps, at most 100; 30 % with `one_cycle`, none with `constant`, `log_sweep` "
        "and what follows a loss.",
    )
    warmup_ratio: float | None = Field(
        default=None, ge=0, le=1, description="The same as a share of all steps."
    )
    lr_quadratic_warmup: bool = Field(
        default=False,
        description="Let the learning rate rise with the square of the steps in the warm-up.",
        json_schema_extra={"needs": "`lr_scheduler: cosine`"},
    )
    cosine_min_lr_ratio: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Lowest learning rate, as a share of the highest.",
        json_schema_extra={"needs": "`lr_scheduler: cosine` or `rex`"},
    )
    cosine_constant_lr_ratio: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Share of all steps after which the learning rate stays at its lowest.",
        json_schema_extra={"needs": "`lr_scheduler: cosine`, and `cosine_min_lr_ratio`"},
    )
    lr_div_factor: float | None = Field(
        default=None,
        gt=1,
        description="The cycle begins at `learning_rate` divided by this; 6 by default.",
        json_schema_extra={"needs": "`lr_scheduler: one_cycle`"},
    )
    log_sweep_min_lr: float | None = Field(
        default=None,
        gt=0,
        description="Learning rate that the sweep begins with; 1e-10 by default.",
        json_schema_extra={"needs": "`lr_scheduler: log_sweep`"},
    )
    log_sweep_max_lr: float | None = Field(
        default=None,
        gt=0,
        description="Learning rate that the sweep ends with; 10 by default.",
        json_schema_extra={"needs": "`lr_scheduler: log_sweep`"},
    )
