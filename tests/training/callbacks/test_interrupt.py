"""A signal ends the run after its step; a second one at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
from transformers import TrainerControl, TrainerState

from axolotl.training.callbacks.interrupt import StopOnSignal

ARGS = SimpleNamespace(eval_strategy="epoch", save_strategy="epoch")


def state(step: int, epoch: float = 0.5) -> TrainerState:
    return TrainerState(global_step=step, max_steps=10, epoch=epoch)


def signalled() -> StopOnSignal:
    stop = StopOnSignal()
    stop.on_train_begin(None, state(0), TrainerControl())
    with stop.listening():
        os.kill(os.getpid(), signal.SIGTERM)
    return stop


def test_a_signal_saves_and_stops_at_the_end_of_the_step() -> None:
    stop, control = StopOnSignal(), TrainerControl()
    before = signal.getsignal(signal.SIGTERM)
    stop.on_train_begin(None, state(0), control)
    with stop.listening():
        stop.on_step_end(None, state(3), control)
        assert not control.should_training_stop
        os.kill(os.getpid(), signal.SIGTERM)
        stop.on_step_end(None, state(4), control)
    assert stop.stopped_by is signal.SIGTERM
    assert stop.interrupted
    assert control.should_save
    assert control.should_training_stop
    assert not control.should_log
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_during_the_last_step_interrupts_nothing() -> None:
    stop, control = signalled(), TrainerControl(should_save=False, should_evaluate=True)
    stop.on_step_end(None, state(10, 2.0), control)
    stop.on_epoch_end(None, state(10, 2.0), control)
    assert not stop.interrupted
    assert control.should_evaluate
    assert not control.should_save


@pytest.mark.parametrize("epoch", [0.5, 1.0], ids=["within", "at its end"])
def test_the_end_of_an_epoch_that_was_stopped(epoch: float) -> None:
    stop, control = signalled(), TrainerControl()
    stop.on_step_end(ARGS, state(4, epoch), control)
    control.should_evaluate = control.should_save = True  # by the library, as at any epoch's end
    stop.on_epoch_end(None, state(4, epoch), control)
    assert not control.should_evaluate
    assert not control.should_save
    assert stop.owes_evaluation == (epoch == 1.0)


def test_a_second_signal_stops_at_once() -> None:
    stop = StopOnSignal()
    with pytest.raises(KeyboardInterrupt), stop.listening():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)


def test_a_launchers_sigterm_after_a_ctrl_c_is_no_second_signal() -> None:
    stop = StopOnSignal()
    with stop.listening():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.stopped_by is signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    ("got", "of_all"),
    [([False, True], signal.SIGTERM), ([True, True], signal.SIGINT), ([False, False], None)],
)
def test_all_processes_stop_where_one_was_told_to_and_know_by_what(
    got: list[bool], of_all: signal.Signals | None
) -> None:
    stop, control = StopOnSignal(), TrainerControl()
    stop.on_train_begin(None, state(0), control)
    asked: list[Sequence[bool]] = []

    def agree(own: Sequence[bool]) -> Sequence[bool]:
        asked.append(own)
        return got

    stop.agree = agree
    stop.on_step_end(None, state(3), control)
    assert asked == [[False, False]]
    assert stop.stopped_by is of_all
    assert stop.interrupted == bool(of_all)
    assert control.should_save == bool(of_all)


@pytest.mark.parametrize("at_end", [False, True], ids=["on the way", "after the last step"])
def test_an_evaluation_that_was_cut_short_is_due(at_end: bool) -> None:
    stop, control = signalled(), TrainerControl(should_evaluate=True)
    assert stop.cuts_evaluation
    stop.cut_evaluation(state(10 if at_end else 4), control)
    assert stop.owes_evaluation
    assert not control.should_evaluate
    assert control.should_save
    assert control.should_training_stop
    assert stop.interrupted is not at_end
    assert stop.cuts_evaluation
    stop.on_save(None, state(10 if at_end else 4), control)
    assert not stop.cuts_evaluation, "the checkpoint is safe"


def test_after_the_training_a_signal_interrupts_nothing() -> None:
    stop, control = signalled(), TrainerControl()
    stop.on_train_end(None, state(4), control)
    stop.evaluated(state(4), control)
    assert not stop.interrupted
