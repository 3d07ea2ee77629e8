"""Trackers: services and files besides the run folder that follow a run, one small file each.

`Trackers` stands for all that the configuration asks for. It is made once for a run, handed to
`run_training`, and from there to `build_trainer` in `axolotl.training.assemble`, which hands it to
each callback that has something to show:

    callbacks.append(Predictions(…, trackers=trackers))     # in build_trainer
    self.trackers.log_table("predictions", ["prompt", "answer"], rows, step=state.global_step)

It may be called in every process and without any tracker: then nothing happens. What a tracker
cannot take is said once and never ends a training.

A tracker is a file of this folder with `opened(options) -> Tracker | None`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from transformers import TrainerCallback

from axolotl.config.tracking import TrackingSection
from axolotl.core.console import note
from axolotl.errors import AxolotlError, EnvironmentFault
from axolotl.registry import available, load
from axolotl.training.trackers._run import Outcome, tracked
from axolotl.training.trackers._run import TrackedRun as TrackedRun


class Tracker(Protocol):
    """One place that follows a run; only the process that writes has any."""

    option: str
    """The option that asks for it."""

    def check(self) -> None:
        """Refuse what cannot be followed, before anything is loaded."""
        ...

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

    def log_weights(self, model: Any, *, step: int) -> None:
        """Take how weights and gradients are spread, where the file asks for it."""
        ...

    def log_checkpoint(self, folder: Path, *, step: int) -> None:
        """Take a whole checkpoint, where the file asks for it."""
        ...

    def log_result(self, files: Sequence[Path]) -> None:
        """Take the files of the result, where the file asks for it."""
        ...

    def finish(self, outcome: Outcome) -> None:
        """End, and say how the run ended; also where it was never begun, or has failed."""
        ...


class Trackers(TrainerCallback):
    """All trackers of a run.

    Args:
        active: Name → tracker.
    """

    def __init__(self, active: Mapping[str, Tracker] | None = None) -> None:
        self._all = dict(active or {})
        self._active: dict[str, Tracker] = {}
        self.interrupted = False
        """Whether the run was stopped before its last step; told before the end."""

    @property
    def any_left(self) -> bool:
        """Whether there is one that takes something: begun, and without an error so far."""
        return bool(self._active)

    def check(self) -> None:
        """Refuse what cannot be followed, before anything is loaded.

        Raises:
            AxolotlError: a package, a login or a server is missing.
        """
        for name, tracker in self._all.items():
            with _at_the_beginning(name, tracker):
                tracker.check()

    def start(self, run: TrackedRun) -> None:
        """Begin to follow a run; on the process that writes, before its first step.

        Raises:
            AxolotlError: a tracker cannot begin.
        """
        for name, tracker in self._all.items():
            with _at_the_beginning(name, tracker):
                tracker.start(run)
            self._active[name] = tracker

    def log_line(self, line: Mapping[str, Any]) -> None:
        """Give a line of `metrics.jsonl` to all of them."""
        values, step = tracked(line), line["step"]
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

    def on_pre_optimizer_step(
        self, args: Any, state: Any, control: Any, model: Any = None, **_: Any
    ) -> None:
        """Show weights and whole gradients to those that look at them, for steps with a log line."""
        step = state.global_step + 1
        if step % state.logging_steps == 0:
            self._each(lambda tracker: tracker.log_weights(model, step=step))

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Give the checkpoint, which is whole and has its name, to those that take it."""
        folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        self._each(lambda tracker: tracker.log_checkpoint(folder, step=state.global_step))

    def log_result(self, files: Sequence[Path]) -> None:
        """Give the files of the result to those that take them."""
        self._each(lambda tracker: tracker.log_result(files))

    def finish(self, outcome: Outcome) -> None:
        """Say how the run ended, also where it never began or something failed."""
        for name, tracker in self._all.items():
            try:
                tracker.finish(outcome)
            except Exception as error:  # noqa: BLE001  as in `_each`
                if name in self._active:
                    note(f"{name}: the run could not be ended there: {_first_line(error)}")
        self._all.clear()
        self._active.clear()

    def _each(self, do: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self._active.items()):
            try:
                do(tracker)
            except Exception as error:  # noqa: BLE001  whatever a library raises: the training goes on
                del self._active[name]
                note(f"{name}: nothing more is logged there: {_first_line(error)}")


@contextmanager
def following(options: TrackingSection) -> Iterator[Trackers]:
    """What follows a run while the body prepares and trains; the trackers are told how it ends.

    Args:
        options: The trackers' options.

    Raises:
        AxolotlError: what is asked for cannot be followed.
    """
    trackers = Trackers(_opened(options) if os.environ.get("RANK", "0") == "0" else None)
    outcome: Outcome = "failed"
    try:
        trackers.check()
        yield trackers
        outcome = "interrupted" if trackers.interrupted else "done"
    except KeyboardInterrupt:
        outcome = "interrupted"
        raise
    finally:
        trackers.finish(outcome)


def _opened(options: TrackingSection) -> dict[str, Tracker]:
    found = {name: load(__name__, name).opened(options) for name in available(__name__)}
    return {name: tracker for name, tracker in found.items() if tracker is not None}


@contextmanager
def _at_the_beginning(name: str, tracker: Tracker) -> Iterator[None]:
    """Before the first step nothing is lost by an error, and the user can mend it."""
    try:
        yield
    except AxolotlError:
        raise
    except Exception as error:  # whatever a library raises
        raise EnvironmentFault(
            f"{name} cannot follow the run: {_first_line(error)}",
            where=tracker.option,
            hint=f"mend it, or leave {tracker.option} out: metrics.jsonl in output_dir has the same "
            "numbers",
        ) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
