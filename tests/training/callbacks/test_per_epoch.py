"""So many times in each epoch, evenly spaced."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import pytest

from axolotl.training.callbacks.per_epoch import PerEpoch, is_due


@pytest.mark.parametrize("steps", [1, 2, 7, 10, 97])
@pytest.mark.parametrize("times", [1, 2, 3, 4, 10])
def test_times_are_evenly_spaced_and_the_last_is_the_epochs_end(steps: int, times: int) -> None:
    due = [step for step in range(1, 3 * steps + 1) if is_due(step, times, steps)]
    assert len(due) == 3 * min(times, steps)
    assert {steps, 2 * steps, 3 * steps} <= set(due)
    gaps = [b - a for a, b in pairwise([0, *due])]
    assert max(gaps) - min(gaps) <= 1
    assert due[: len(due) // 3] == [step - steps for step in due if steps < step <= 2 * steps]


def test_evaluations_are_where_checkpoints_are_if_their_number_is_a_multiple() -> None:
    for steps in range(1, 40):
        for saves in range(1, 6):
            times = {
                n: {x for x in range(1, steps + 1) if is_due(x, n, steps)}
                for n in (saves, 2 * saves, 3 * saves)
            }
            assert times[saves] <= times[2 * saves]
            assert times[saves] <= times[3 * saves]


def test_something_happens_after_the_last_step_wherever_it_is() -> None:
    callback = PerEpoch(10, saves=1)
    for step, due in ((9, False), (10, True), (13, False), (14, True)):
        control = SimpleNamespace(should_save=False, should_evaluate=False)
        state = SimpleNamespace(global_step=step, max_steps=14)
        callback.on_step_end(None, state, control)
        assert control.should_save is due
        assert not control.should_evaluate
