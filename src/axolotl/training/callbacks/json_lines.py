"""Files of JSON lines in the run folder, each line of a step; a resume cuts off what lies behind it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from axolotl.core.atomic import disk_faults, write_atomic
from axolotl.training.callbacks.interrupt import owes_evaluation
from axolotl.training.callbacks.metrics import read_metrics


class JsonLines:
    """A file that grows line by line.

    Args:
        file: Path of the file; it is there once it has a line.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    def add(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Append lines; each has a `step`."""
        with disk_faults(self.file), self.file.open("a", encoding="utf-8") as out:
            out.writelines(map(_line, lines))

    def cut(self, step: int) -> None:
        """Keep the lines up to a step, or no file where there are none."""
        if not self.file.exists():
            return
        before = read_metrics(self.file) if step else []
        kept = [line for line in before if line["step"] <= step]
        if kept:
            write_atomic(self.file, "".join(map(_line, kept)))
        else:
            with disk_faults(self.file):
                self.file.unlink()


class FilesOfSteps(TrainerCallback):
    """Keeps files to the past of the run: what another run left there goes when this one begins.

    Args:
        files: The files, whether or not this run writes them.
    """

    def __init__(self, files: Sequence[JsonLines]) -> None:
        self.files = files

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Keep the lines up to the step that the run begins with."""
        if state.is_world_process_zero:
            for file in self.files:
                file.cut(state.global_step - owes_evaluation(state))


def _line(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False) + "\n"
