"""What the trackers are told of a run that is about to begin."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from axolotl.resolve import Resolved
from axolotl.training.callbacks.metrics import read_metrics
from axolotl.training.checkpoint_files import step_of
from axolotl.training.public import without_secrets
from axolotl.training.trackers import TrackedRun


def tracked_run(resolved: Resolved, plan: Mapping[str, Any], *, resume: Path | None) -> TrackedRun:
    """The run, for its trackers.

    Args:
        resolved: The configuration.
        plan: What was chosen besides.
        resume: The checkpoint that it goes on from; lines of `metrics.jsonl` after it do not count.
    """
    output = Path(resolved.saving.output_dir)
    last = step_of(resume) if resume else 0
    earlier = read_metrics(output / "metrics.jsonl") if resume else []
    return TrackedRun(
        output_dir=output,
        given=without_secrets(resolved.config.given()),
        resolved=without_secrets(resolved.as_dict()),
        plan=plan,
        resumed=resume is not None,
        lines=[line for line in earlier if line["step"] <= last],
    )
