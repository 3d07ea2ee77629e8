"""Where results go, checkpoints, resuming."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from axolotl.config.section import CountOrShare, Section


class SavingSection(Section):
    """Where results go, checkpoints, resuming."""

    output_dir: str = Field(
        default="./model-out",
        min_length=1,
        description="Folder for the model or adapter, its tokenizer, checkpoints, `run.json` and "
        "`metrics.jsonl`.",
    )
    save_strategy: Literal["no", "epoch", "steps"] | None = Field(
        default=None,
        description="When checkpoints are written; by default `steps` if `save_steps` or "
        "`saves_per_epoch` is set or the data is a stream, else `epoch`. The final result is always written.",
    )
    save_steps: CountOrShare | None = Field(
        default=None,
        gt=0,
        description="Optimizer steps between two checkpoints, or a share of all steps below 1; in a "
        "stream by default a tenth of `max_steps`.",
    )
    saves_per_epoch: int | None = Field(
        default=None,
        ge=1,
        description="Checkpoints in each pass over the data, evenly spaced; the last is at its end.",
    )
    save_total_limit: int = Field(
        default=4, ge=0, description="Checkpoints to keep, the newest; 0 keeps all."
    )
    save_safetensors: bool = Field(
        default=True,
        description="Save weights as safetensors; nothing else is written, so `false` has no effect.",
    )
    resume_from_checkpoint: bool | str | None = Field(
        default=None,
        description="Checkpoint folder to go on from, or `true` for the newest one in `output_dir`.",
    )
    auto_resume_from_checkpoints: bool = Field(
        default=False,
        description="Go on from the newest checkpoint in `output_dir` if there is one, else start "
        "anew.",
    )
