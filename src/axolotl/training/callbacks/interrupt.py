"""Ctrl-C and SIGTERM: finish the step, save a checkpoint, stop. A second signal stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
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

    An evaluation on the way is cut short and made up for when the checkpoint is safe: a machine that
    is taken away waits for half a minute, not for an evaluation.

    Args:
        evaluate_first: Compute a held-out loss that is due before the checkpoint is written, because
            the checkpoint has to know it, instead of after.
    """

    def __init__(self, *, evaluate_first: bool = False) -> None:
        self.evaluate_first = evaluate_first
        self.agree: Callable[[bool], bool] = lambda wanted: wanted
        """From whether this process wants something to whether one of all does."""
        self.interrupted = False
        """Whether steps are left to do."""
        self.evaluation_due = False
        """Whether the held-out loss of the last step is still to be computed."""
        self._received: list[signal.Signals] = []
        self._trains = False

    @property
    def stopped_by(self) -> signal.Signals | None:
        """The first signal that came."""
        return self._received[0] if self._received else None

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
        # Of a Ctrl-C a launcher of several processes makes a SIGTERM besides: that is no second one.
        if signal.Signals(number) in self._received:
            raise KeyboardInterrupt
        self._received.append(signal.Signals(number))
        if len(self._received) == 1:
            note("stopping: the running step is finished and saved; once more stops at once")

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """From now on there is something to be stopped."""
        self._trains = True

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """From now on there is not."""
        self._trains = False

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Save and stop where a signal has come, unless this was the last step anyway."""
        if not self._stops(state):
            return
        self._stop(control)
        control.should_save = True
        if not self.evaluate_first:
            self._put_off(control)

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """A signal came while the checkpoint had to wait for its evaluation: no further step."""
        if self._stops(state):
            self._stop(control)
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """A signal came while a checkpoint was written: what it asks for is done."""
        if self._stops(state):
            self._stop(control)

    @property
    def cuts_evaluation(self) -> bool:
        """Whether a running evaluation is to be given up, until the checkpoint is safe."""
        return self._trains and bool(self._received) and not self.evaluate_first

    def cut_evaluation(self, state: Any, control: Any) -> None:
        """It was given up: save, and make up for it at the end."""
        self._put_off(control)
        if state.global_step < state.max_steps:
            self._stop(control)
            control.should_save = True

    def _stops(self, state: Any) -> bool:
        if not self._trains or self.interrupted or state.global_step >= state.max_steps:
            return False
        return self.agree(bool(self._received))

    def _stop(self, control: Any) -> None:
        self.interrupted = True
        control.should_training_stop = True

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
