"""`metrics.jsonl`: one JSON object per logged step and per evaluation."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from axolotl.core.atomic import disk_faults, write_atomic
from axolotl.training.callbacks.interrupt import owes_evaluation
from axolotl.training.counters import RunCounters
from axolotl.training.divergence import diverged
from axolotl.training.memory import memory_figures
from axolotl.training.trackers import Trackers

_KEPT = (
    *("loss", "grad_norm", "learning_rate", "num_lora_restarts"),
    *("eval_loss", "eval_perplexity", "eval_tokens"),
)
MEASURED = ("tokens_per_second", "memory_bytes", "peak_memory_bytes", "reserved_memory_bytes")
"""Figures that are of this run of the program alone: a resume, or another machine, has others."""
_OF_PARTS = re.compile(r"eval_.+_(loss|perplexity|tokens)|bench_.+")
"""Figures of one of several sets, and of multiple-choice questions."""


class MetricsFile(TrainerCallback):
    """Appends to `metrics.jsonl`; on a resume, lines after the checkpoint are cut off first.

    Args:
        file: Path of the file.
        counters: Source of the token counts.
        epochs: Whether lines say how many passes over the data are done; a stream has none.
        trackers: Get every line, too.
    """

    def __init__(
        self,
        file: Path,
        counters: RunCounters,
        *,
        epochs: bool = True,
        trackers: Trackers | None = None,
    ) -> None:
        self.file = file
        self.counters = counters
        self.epochs = epochs
        self.trackers = trackers or Trackers()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Keep the lines up to the step that the run begins with."""
        if state.is_world_process_zero:
            before = read_metrics(self.file) if state.global_step else []
            last, owed = state.global_step, owes_evaluation(state)
            kept = [
                line
                for line in before
                if line["step"] < last
                or (line["step"] == last and not (owed and "eval_loss" in line))
            ]
            write_atomic(self.file, "".join(json.dumps(line) + "\n" for line in kept))

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Write a line, unless it is the library's closing summary.

        Raises:
            AxolotlError: the loss is not finite; the line is written, with null for it.
        """
        if state.is_world_process_zero:
            self._write(state, logs, memory_figures(args.device) if args else {})
        if not math.isfinite(logs.get("loss", 0.0)):
            raise diverged(f"the loss is {logs['loss']}", step=state.global_step)

    def _write(self, state: Any, logs: Mapping[str, Any], memory: Mapping[str, int]) -> None:
        parts = [name for name in logs if name not in _KEPT and _OF_PARTS.fullmatch(name)]
        values = {name: _finite(logs[name]) for name in (*_KEPT, *parts) if name in logs}
        if not values:
            return
        passes = {"epoch": state.epoch or 0.0} if self.epochs else {}
        line = {"step": state.global_step, **passes, **values}
        if "loss" in values:
            line["trained_tokens"] = self.counters.trained_tokens
            line["tokens_per_second"] = round(self.counters.tokens_per_second, 2)
            line |= memory
        with disk_faults(self.file), self.file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")
        self.trackers.log_line(line)


def _finite(value: float) -> float | None:
    """JSON has no number for the others."""
    return value if math.isfinite(value) else None


def read_metrics(file: Path) -> list[dict[str, Any]]:
    """All whole lines of a metrics file; a half line at the end, left by a kill, is left out."""
    if not file.is_file():
        return []
    lines = file.read_text("utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1] if line]
