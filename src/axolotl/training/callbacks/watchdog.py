"""Ends a training whose loss stays too high."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from axolotl.training.counters import RunCounters
from axolotl.training.divergence import Diverged, with_rows
from axolotl.training.places import RowPlaces


class LossWatchdog(TrainerCallback, ExportableState):
    """Looks at the loss of every optimizer step, not at the mean of those between two log lines.

    Args:
        threshold: The loss that is too high, nats per token.
        patience: How many steps one after the other it may be exceeded.
        counters: Source of the loss.
        places: Knows the source rows of a step.
    """

    def __init__(
        self, threshold: float, *, patience: int, counters: RunCounters, places: RowPlaces
    ) -> None:
        self.threshold = threshold
        self.patience = patience
        self.counters = counters
        self.places = places
        self._above = 0
        self._before = (0.0, 0)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take up the count of the checkpoint."""
        saved = state.stateful_callbacks.setdefault(type(self).__name__, self.state())
        if state.global_step:
            self._above = saved["attributes"]["above"]
        self._before = self.counters.loss_sum, self.counters.trained_tokens

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Count, and end the training.

        Raises:
            Diverged: the loss has been too high for too long.
        """
        loss_sum, tokens = self.counters.loss_sum, self.counters.trained_tokens
        trained = tokens - self._before[1]
        loss = (loss_sum - self._before[0]) / max(1, trained)
        self._before = loss_sum, tokens
        if not trained:
            return
        self._above = self._above + 1 if loss > self.threshold else 0
        if self._above < self.patience:
            return
        step = state.global_step
        raise Diverged(
            f"the loss is {loss:.4f} at step {step}{with_rows(self.places.of_step())}, and has been "
            f"above loss_watchdog_threshold, {self.threshold:g}, for {self._above} steps",
            good_until=step - self._above,
            where="loss_watchdog_threshold",
            first="raise loss_watchdog_threshold or loss_watchdog_patience",
        )

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, in the shape the library asks for."""
        return {"args": {}, "attributes": {"above": self._above}}
