"""Checkpoints and evaluations so many times in each pass over the data."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback


class PerEpoch(TrainerCallback):
    """Saves and evaluates at evenly spaced steps of an epoch, the last of them its end.

    The library counts steps over the whole training, so that where the steps of an epoch do not
    divide, its times would drift from one epoch to the next. After the very last step there is a
    checkpoint and an evaluation too, as with steps.

    Args:
        steps_per_epoch: Optimizer steps of an epoch.
        saves: Checkpoints in an epoch; None leaves them to the library.
        evaluations: Evaluations in an epoch; None leaves them to the library.
    """

    def __init__(
        self, steps_per_epoch: int, *, saves: int | None = None, evaluations: int | None = None
    ) -> None:
        self.steps_per_epoch = steps_per_epoch
        self.saves = saves
        self.evaluations = evaluations

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Ask for what is due."""
        step, last = state.global_step, state.global_step >= state.max_steps
        if self.saves and (last or is_due(step, self.saves, self.steps_per_epoch)):
            control.should_save = True
        if self.evaluations and (last or is_due(step, self.evaluations, self.steps_per_epoch)):
            control.should_evaluate = True


def is_due(step: int, times: int, steps_per_epoch: int) -> bool:
    """Whether something that happens `times` in each epoch happens after a step, counted from 1.

    >>> [step for step in range(1, 15) if is_due(step, 3, 7)]
    [3, 5, 7, 10, 12, 14]
    """
    at = (step - 1) % steps_per_epoch + 1
    return at * times // steps_per_epoch > (at - 1) * times // steps_per_epoch
