"""Ctrl-C and SIGTERM: finish the step, save a checkpoint, stop. A second signal stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from axolotl.core.console import note

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Of both the first counts: launchers of several processes make a SIGTERM of a Ctrl-C."""


class StopOnSignal(TrainerCallback, ExportableState):
    """Turns a signal into a clean end after the running step.

    The run stops with one checkpoint, and logs and saves nothing that would not have been due at that
    step: with its resume it leaves the same metrics as a run that was not stopped.

    An evaluation that is due, or running, is left out: a machine that is taken away waits for half a
    minute, not for an evaluation. The checkpoint says that it owes one, and a resume begins with it.
    After the last step nothing is left to a resume: there the checkpoint is written before the
    evaluation.

    Args:
        evaluates: Whether there are rows to evaluate on.
    """

    def __init__(self, *, evaluates: bool = False) -> None:
        self.evaluates = evaluates
        self.agree: Callable[[Sequence[bool]], Sequence[bool]] = lambda got: got
        """From which signals this process got to which of them one of all processes got."""
        self.interrupted = False
        """Whether steps are left to do."""
        self.owes_evaluation = False
        """Whether the held-out loss of the last step is still to be computed."""
        self.save_was_due = True
        """Whether the checkpoint that owes it would have been written without a signal, too."""
        self._safe = False
        self._received: list[signal.Signals] = []
        self._of_all: list[signal.Signals] = []
        self._trains = False

    @property
    def stopped_by(self) -> signal.Signals | None:
        """The signal that a process of the run got."""
        return next((one for one in _SIGNALS if one in (*self._received, *self._of_all)), None)

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
        # A launcher's SIGTERM after a Ctrl-C is no second one.
        if signal.Signals(number) in self._received:
            raise KeyboardInterrupt
        self._received.append(signal.Signals(number))
        if len(self._received) == 1:
            note("stopping: the running step is finished and saved; once more stops at once")

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """From now on there is something to be stopped; a checkpoint may owe an evaluation."""
        self._trains = True
        self.owes_evaluation = self.evaluates and owes_evaluation(state)
        if self.owes_evaluation:
            self.save_was_due = _attributes(state)["save_was_due"]

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """From now on there is not."""
        self._trains = False

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Save and stop where a signal has come; after the last step, save before the evaluation."""
        if not self._trains or not self._anyone_told():
            return
        last = state.global_step >= state.max_steps
        if last and not self.evaluates:
            return
        epoch_ends = last or float(state.epoch).is_integer()
        if last or control.should_evaluate or (epoch_ends and args.eval_strategy == "epoch"):
            save_due = control.should_save or (epoch_ends and args.save_strategy == "epoch")
            self._owe(control, save_due=save_due)
        self._stop(state, control)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """A signal came while a checkpoint was written: what it asks for is done."""
        self._safe = self.owes_evaluation
        if self._stops(state):
            self._stop(state, control)
            control.should_save = False

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The library ends an epoch where the run stops; it is one only where its rows are."""
        if not self.interrupted and not self.owes_evaluation:
            return
        over = float(state.epoch).is_integer()
        # A signal that came while the checkpoint of this step was written: that one owes nothing yet.
        late = over and control.should_evaluate and not self.owes_evaluation
        if late:
            self._owe(control, save_due=True)
        control.should_evaluate, control.should_save = False, late

    @property
    def cuts_evaluation(self) -> bool:
        """Whether a running evaluation is to be given up, because no checkpoint owes it yet."""
        return bool(self._received) and not self._safe

    def cut_evaluation(self, state: Any, control: Any) -> None:
        """It was given up: save, and leave it to the resume, or until the checkpoint is safe."""
        self._owe(control, save_due=control.should_save)
        self._stop(state, control)

    def evaluated(self, state: Any, control: Any) -> None:
        """An evaluation is through, with all that follows it: no further step if a signal came."""
        self.owes_evaluation = False
        if self._stops(state):
            self._stop(state, control)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, in the shape the library asks for."""
        known = {"owes_evaluation": self.owes_evaluation, "save_was_due": self.save_was_due}
        return {"args": {}, "attributes": known}

    def _stops(self, state: Any) -> bool:
        if not self._trains or self.interrupted or state.global_step >= state.max_steps:
            return False
        return self._anyone_told()

    def _anyone_told(self) -> bool:
        got = self.agree([one in self._received for one in _SIGNALS])
        self._of_all = [one for one, there in zip(_SIGNALS, got, strict=True) if there]
        return bool(self._of_all)

    def _stop(self, state: Any, control: Any) -> None:
        self.interrupted = state.global_step < state.max_steps
        control.should_save = control.should_training_stop = True

    def _owe(self, control: Any, *, save_due: bool) -> None:
        if not self.owes_evaluation:
            self.owes_evaluation, self.save_was_due = True, save_due
        control.should_evaluate = False


def owes_evaluation(state: Any) -> bool:
    """Whether a run goes on from a checkpoint whose evaluation is still to be computed.

    Args:
        state: The library's state of the training.
    """
    return bool(_attributes(state).get("owes_evaluation"))


def _attributes(state: Any) -> dict[str, Any]:
    saved = (getattr(state, "stateful_callbacks", None) or {}).get(StopOnSignal.__name__)
    return saved["attributes"] if saved else {}
