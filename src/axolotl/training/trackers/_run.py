"""What a tracker is told of a run when it begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class TrackedRun:
    """A run that is about to begin.

    Args:
        output_dir: The run's folder.
        given: The options as written.
        resolved: All options, as they will run.
        plan: What was chosen besides: steps, parameters, attention.
        model: The model, with its adapter.
        rows_per_log: Backward passes between two log lines.
        resumed: Whether it goes on from a checkpoint.
    """

    output_dir: Path
    given: Mapping[str, Any]
    resolved: Mapping[str, Any]
    plan: Mapping[str, Any]
    model: Any = field(repr=False, default=None)
    rows_per_log: int = 1
    resumed: bool = False
