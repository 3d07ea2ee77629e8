"""What there is to read in the folder of a run: finished, stopped, killed, or still going on."""

from __future__ import annotations

import json
import re
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from axolotl.artifacts.run_folder import RUN_FILE, START_FILE
from axolotl.errors import ModelError
from axolotl.reports.curves import Metrics, read_curves

METRICS, SAMPLES, PREDICTIONS = "metrics.jsonl", "samples.jsonl", "predictions.jsonl"
MOST_ROWS = 400
"""Lines of answers that are read, from the end; a page with more is read by nobody."""
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint.

    Args:
        name: Its folder.
        step: Optimizer steps that it has behind it.
        size_bytes: Its files.
    """

    name: str
    step: int
    size_bytes: int


@dataclass(frozen=True)
class RunFiles:
    """A run as its folder shows it.

    Args:
        folder: The folder.
        label: What it is called among others.
        finished: Whether its `run.json` is there, which is written last.
        record: Content of `run.json`; of a run that has none, what was written at its start.
        metrics: Its curves.
        samples: What the model answered to some prompts, in order.
        predictions: What it made of rows to evaluate on, in order.
        checkpoints: Those that are there, the oldest first.
        remarks: What cannot be read.
        quiet_s: Seconds since the last line of the metrics was written; None without any.
    """

    folder: Path
    label: str
    finished: bool
    record: Mapping[str, Any]
    metrics: Metrics
    samples: list[dict[str, Any]]
    predictions: list[dict[str, Any]]
    checkpoints: list[Checkpoint]
    remarks: list[str]
    quiet_s: float | None

    def part(self, *keys: str) -> dict[str, Any]:
        """A part of the record that is a mapping; empty where it is not there."""
        found: Any = self.record
        for key in keys:
            found = found.get(key) if isinstance(found, Mapping) else None
        return dict(cast("Mapping[str, Any]", found)) if isinstance(found, Mapping) else {}

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped before its last step, and saved."""
        return bool(self.record.get("interrupted"))


def read_run_files(folder: Path, *, label: str | None = None) -> RunFiles:
    """Read a run folder.

    Args:
        folder: The folder.
        label: What to call it; by default its name.

    Raises:
        ModelError: no run has left anything there.
    """
    record, start = _json(folder / RUN_FILE), _json(folder / START_FILE)
    metrics = read_curves(folder / METRICS)
    checkpoints = _checkpoints(folder)
    if record is None and start is None and not metrics.lines and not checkpoints:
        raise ModelError(
            f"no run has left anything in '{folder}'",
            hint="name the output_dir of a training, or its configuration"
            if folder.is_dir()
            else "there is no such folder",
        )
    remarks = [f"{RUN_FILE} cannot be read"] if record is not None and not record else []
    if metrics.broken_lines:
        number = metrics.broken_lines
        lines = "one line" if number == 1 else f"{number:,} lines"
        remarks.append(f"{lines} of {METRICS} cannot be read")
    file = folder / METRICS
    return RunFiles(
        folder=folder,
        label=label or folder.resolve().name,
        finished=bool(record),
        record=record or start or {},
        metrics=metrics,
        samples=_last_rows(folder / SAMPLES),
        predictions=_last_rows(folder / PREDICTIONS),
        checkpoints=checkpoints,
        remarks=remarks,
        quiet_s=max(0.0, time.time() - file.stat().st_mtime) if metrics.lines else None,
    )


def labels(folders: list[Path]) -> list[str]:
    """What to call several folders: their names, with as many of those above as tell them apart.

    >>> labels([Path("/a/one/out"), Path("/a/two/out")])
    ['one/out', 'two/out']
    """
    parts = [folder.resolve().parts for folder in folders]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(some[-count:]) for some in parts]
        if len(set(names)) == len(set(parts)):
            return names
    return [str(folder) for folder in folders]


def _json(file: Path) -> dict[str, Any] | None:
    """An object; an empty one where the file is none; None where there is no file."""
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_bytes())
    except ValueError:
        return {}
    return cast("dict[str, Any]", content) if isinstance(content, dict) else {}


def _last_rows(file: Path) -> list[dict[str, Any]]:
    """The last lines of a file, those that are objects."""
    if not file.is_file():
        return []
    with file.open("rb") as lines:
        last = deque(lines, maxlen=MOST_ROWS)
    found: list[dict[str, Any]] = []
    for line in last:
        try:
            content = json.loads(line)
        except ValueError:
            continue  # half a line, which a kill has left
        if isinstance(content, dict):
            found.append(cast("dict[str, Any]", content))
    return found


def _checkpoints(folder: Path) -> list[Checkpoint]:
    if not folder.is_dir():
        return []
    found = [
        Checkpoint(
            path.name,
            int(match[1]),
            sum(file.stat().st_size for file in path.rglob("*") if file.is_file()),
        )
        for path in folder.iterdir()
        if (match := _CHECKPOINT.fullmatch(path.name)) and path.is_dir()
    ]
    return sorted(found, key=lambda one: one.step)
