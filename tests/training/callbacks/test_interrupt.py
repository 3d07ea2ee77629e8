"""A signal ends the run after its step; a second one at once."""

from __future__ import annotations

import os
import signal

import pytest
from transformers import TrainerControl

from axolotl.training.callbacks.interrupt import StopOnSignal


def test_a_signal_saves_and_stops_at_the_end_of_the_step() -> None:
    stop, control = StopOnSignal(), TrainerControl()
    before = signal.getsignal(signal.SIGTERM)
    with stop.listening():
        stop.on_step_end(None, None, control)
        assert not control.should_training_stop
        os.kill(os.getpid(), signal.SIGTERM)
        stop.on_step_end(None, None, control)
    assert stop.stopped_by is signal.SIGTERM
    assert control.should_save
    assert control.should_training_stop
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_signal_stops_at_once() -> None:
    stop = StopOnSignal()
    with pytest.raises(KeyboardInterrupt), stop.listening():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
