"""Trackers: services and files besides the run folder that follow a run, one small file each.

`Trackers` stands for all that the configuration asks for. It is made once for a run, handed to
`run_training`, and from there to `build_trainer` in `axolotl.training.assemble`, which hands it to
each callback that has something to show:

    callbacks.append(Predictions(…, trackers=trackers))     # in build_trainer
    self.trackers.log_table("predictions", ["prompt", "answer"], rows, step=state.global_step)

It may be called in every process and without any tracker: then nothing happens. What a tracker
cannot take is said once and never ends a training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from transformers import TrainerCallback

from axolotl.core.console import note
from axolotl.training.trackers._run import TrackedRun

Outcome = Literal["done", "interrupted", "failed"]
"""How a run ends."""


class Tracker(Protocol):
    """One place that follows a run; only the process that writes has any."""

    def start(self, run: TrackedRun) -> None:
        """Begin, or go on with, what keeps this run there."""
        ...

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """Take numbers, by names such as `train/loss`."""
        ...

    def log_table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, step: int
    ) -> None:
        """Take a table, or nothing where the place has none."""
        ...

    def log_checkpoint(self, folder: Path, *, step: int) -> None:
        """Take a whole checkpoint, where the file asks for it."""
        ...

    def log_result(self, files: Sequence[Path]) -> None:
        """Take the files of the result, where the file asks for it."""
        ...

    def finish(self, outcome: Outcome) -> None:
        """End, and say how the run ended."""
        ...


class Trackers(TrainerCallback):
    """All trackers of a run.

    Args:
        active: Name → tracker; the name is the option that asks for it.
    """

    def __init__(self, active: Mapping[str, Tracker] | None = None) -> None:
        self._active = dict(active or {})

    def __bool__(self) -> bool:
        """Whether there is one that still takes something."""
        return bool(self._active)

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """Give numbers to all of them.

        Args:
            values: By name, such as `train/loss`.
            step: Optimizer steps done.
        """
        self._each(lambda tracker: tracker.log(values, step=step))

    def log_table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, step: int
    ) -> None:
        """Give a table to those that show tables.

        Args:
            title: Its name; a table of the same name at a later step is the next version of it.
            columns: Names of the columns.
            rows: As many values in each as there are columns.
            step: Optimizer steps done.
        """
        self._each(lambda tracker: tracker.log_table(title, columns, rows, step=step))

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Give the checkpoint, which is whole and has its name, to those that take it."""
        folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        self._each(lambda tracker: tracker.log_checkpoint(folder, step=state.global_step))

    def _each(self, do: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self._active.items()):
            try:
                do(tracker)
            except Exception as error:  # noqa: BLE001  whatever a library raises: the training goes on
                del self._active[name]
                note(f"{name}: nothing more is logged there: {type(error).__name__}: {error}")
