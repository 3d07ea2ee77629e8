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
    """Turns a signal into a clean end after the running step."""

    def __init__(self) -> None:
        self.stopped_by: signal.Signals | None = None

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
        """Save and stop where a signal has come."""
        if self.stopped_by is not None:
            control.should_log = True
            control.should_save = True
            control.should_training_stop = True
