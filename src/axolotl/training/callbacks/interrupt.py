"""Ctrl-C and SIGTERM: finish the step, save a checkpoint, stop. A second signal stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from transformers import TrainerCallback

from axolotl.core.console import note

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopOnSignal(TrainerCallback):
    """Turns a signal into a clean end after the running step.

    The run stops with one checkpoint, and logs and evaluates nothing that would not have been due
    at that step: with its resume it leaves the same metrics as a run that was not stopped.

    Args:
        evaluate_first: Compute a held-out loss that is due before the checkpoint is written, because
            the checkpoint has to know it, instead of after.
    """

    def __init__(self, *, evaluate_first: bool = False) -> None:
        self.evaluate_first = evaluate_first
        self.stopped_by: signal.Signals | None = None
        self.interrupted = False
        """Whether steps are left to do."""
        self.evaluation_due = False
        """Whether the held-out loss of the last step is still to be computed."""

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Catch the signals while the body runs; the old handlers come back after it."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._receive) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if self.stopped_by is not None:
            raise KeyboardInterrupt
        self.stopped_by = signal.Signals(number)
        note("stopping: the running step is finished and saved; once more stops at once")

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Save and stop where a signal has come, unless this was the last step anyway."""
        if self.stopped_by is None or state.global_step >= state.max_steps:
            return
        self.interrupted = True
        control.should_save = True
        control.should_training_stop = True
        if not self.evaluate_first:
            self._put_off(control)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The library ends an epoch where the run stops; it is one only where its rows are."""
        if not self.interrupted:
            return
        if float(state.epoch).is_integer():
            if self.evaluate_first:
                return  # evaluated, and saved once more
            self._put_off(control)
        control.should_evaluate = control.should_save = False

    def _put_off(self, control: Any) -> None:
        """An evaluation that is due waits until the checkpoint is safe; a resume skips it."""
        self.evaluation_due = self.evaluation_due or control.should_evaluate
        control.should_evaluate = False
