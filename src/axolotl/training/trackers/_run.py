"""What a tracker is told of a run when it begins, and the names that numbers have there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

Outcome = Literal["done", "interrupted", "failed"]
"""How a run ends."""

_GROUPS = ("eval", "bench")
"""Beginnings of names in `metrics.jsonl` that are groups of their own; the rest is of training."""


@dataclass(frozen=True)
class TrackedRun:
    """A run that is about to begin.

    Args:
        output_dir: The run's folder.
        given: The options as written.
        resolved: All options, as they will run.
        plan: What was chosen besides: steps, parameters, attention.
        resumed: Whether it goes on from a checkpoint.
        lines: What `metrics.jsonl` has of the run up to that checkpoint.
    """

    output_dir: Path
    given: Mapping[str, Any]
    resolved: Mapping[str, Any]
    plan: Mapping[str, Any]
    resumed: bool = False
    lines: Sequence[Mapping[str, Any]] = ()

    @property
    def configuration(self) -> Mapping[str, str]:
        """Name → text of the files that hold the configuration, as written and as it runs."""
        return {"given.yml": _as_yaml(self.given), "resolved.yml": _as_yaml(self.resolved)}

    def replay(self, last_step: int, log: Callable[[Mapping[str, float], int], None]) -> None:
        """Log the lines of the run so far that a tracker lacks: a killed run did not send them.

        Args:
            last_step: The last step that the tracker has.
            log: Takes names and numbers, and the step.
        """
        for line in self.lines:
            if line["step"] > last_step:
                log(tracked(line), line["step"])


def tracked(line: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a line of `metrics.jsonl` by the names that they have in every tracker.

    >>> tracked({"step": 7, "epoch": 0.5, "loss": 2.0})
    {'train/epoch': 0.5, 'train/loss': 2.0}
    >>> tracked({"step": 7, "epoch": 0.5, "eval_loss": 3.0, "eval_tokens": 9})
    {'eval/loss': 3.0, 'eval/tokens': 9}
    """
    values: dict[str, float] = {}
    for key, value in line.items():
        if key == "step" or value is None or (key == "epoch" and "loss" not in line):
            continue
        group, _, name = key.partition("_")
        values[f"{group}/{name}" if group in _GROUPS and name else f"train/{key}"] = value
    return values


def _as_yaml(values: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)
