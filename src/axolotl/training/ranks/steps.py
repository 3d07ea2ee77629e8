"""Which step a process is in, and in which part of it, for the others to know."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from axolotl.training.ranks.pulse import Pulse

_FIRST = 1_000
"""Everything before the first step is less far than this."""
_OF_STEP = 1_000_000
_PARTS = 3


class StepsSeen(TrainerCallback):
    """Tells the pulse of every step, and of every pass through the model in it.

    Processes wait for each other in the backward pass. One that has not come to it while others have
    is the one that is waited for.

    Args:
        pulse: What is told.
        model: The model that is trained.
    """

    def __init__(self, pulse: Pulse, model: Any) -> None:
        self._pulse = pulse
        self._step = self._row = 0
        self._hooks = [
            model.register_forward_pre_hook(lambda *_: self._part(1, model, "forward pass")),
            model.register_forward_hook(
                lambda *_: self._part(2, model, "backward pass and exchange of gradients")
            ),
        ]

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """A step begins: its first row has been read."""
        self._step, self._row = state.global_step, 0
        self._tell(0, "its first row is read")

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """A step is done; what follows is an evaluation, a checkpoint, or the next row."""
        level = _FIRST + self._step * _OF_STEP + _OF_STEP - 1
        text = f"behind step {state.global_step}: evaluation, checkpoint, or reading"
        self._pulse.at(text, level=level)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The loop is through."""
        for hook in self._hooks:
            hook.remove()

    def _part(self, part: int, model: Any, words: str) -> None:
        if model.training:
            self._row += part == 1
            self._tell(part, f"{words} of row {self._row}")

    def _tell(self, part: int, words: str) -> None:
        level = _FIRST + self._step * _OF_STEP + self._row * _PARTS + part
        self._pulse.at(f"step {self._step + 1}, {words}", level=level)
