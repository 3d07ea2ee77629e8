"""Counts over the whole training, kept in every checkpoint so that a resume goes on counting."""

from __future__ import annotations

import time
from typing import Any, Protocol

import torch
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState


class CountedTrainer(Protocol):
    """What the counters need of a trainer."""

    accelerator: Any

    def loss_window(self) -> tuple[float, int]:
        """Sum of the step losses since the last log line, and the step of that line."""
        ...

    def set_loss_window(self, summed_loss: float, since_step: int) -> None:
        """Put back what `loss_window` gave."""
        ...


class RunCounters(TrainerCallback, ExportableState):
    """Trained tokens, their summed loss, seconds, and the loss window between two log lines.

    The library forgets the window on a resume: a log line after it would average fewer steps than
    in an uninterrupted run. Here it is saved and put back, so both log the same numbers.

    Args:
        trained_tokens: Labelled tokens so far, all ranks.
        tokens: All tokens so far, masked ones and padding included, all ranks.
        loss_sum: Their summed cross entropy.
        seconds: Time spent in training, evaluations included, this run and those before.
    """

    def __init__(
        self,
        trained_tokens: int = 0,
        tokens: int = 0,
        loss_sum: float = 0.0,
        seconds: float = 0.0,
    ) -> None:
        self.trained_tokens = trained_tokens
        self.tokens = tokens
        self.loss_sum = loss_sum
        self.seconds = seconds
        self._since: float | None = None
        self._tokens_at_start = tokens
        self._seconds_at_start = seconds
        self._trainer: CountedTrainer | None = None

    def attach(self, trainer: CountedTrainer) -> None:
        """Know the trainer whose loss window is to be kept."""
        self._trainer = trainer

    def add(self, summed_loss: torch.Tensor, trained_tokens: int, tokens: int) -> None:
        """Count one row of every rank.

        Args:
            summed_loss: Its summed cross entropy, a scalar.
            trained_tokens: Its labelled tokens.
            tokens: All its tokens.
        """
        counts = torch.tensor([float(summed_loss), trained_tokens, tokens], dtype=torch.float64)
        trainer = self._trainer
        if trainer is not None and trainer.accelerator.num_processes > 1:
            counts = trainer.accelerator.reduce(counts.to(summed_loss.device), reduction="sum")
        self.loss_sum += float(counts[0])
        self.trained_tokens += int(counts[1])
        self.tokens += int(counts[2])

    @property
    def train_loss(self) -> float:
        """Mean loss over all trained tokens, nats per token."""
        return self.loss_sum / max(1, self.trained_tokens)

    @property
    def seconds_now(self) -> float:
        """Seconds of training up to this moment."""
        running = time.perf_counter() - self._since if self._since is not None else 0.0
        return self.seconds + running

    @property
    def tokens_per_second(self) -> float:
        """Tokens per second since this process began to train, over all ranks."""
        seconds = self.seconds_now - self._seconds_at_start
        return (self.tokens - self._tokens_at_start) / max(seconds, 1e-9)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take up the counts of the checkpoint, and its loss window."""
        if state.global_step:
            # The library goes on logging, evaluating and saving as often as the earlier run did.
            state.compute_steps(args, state.max_steps)
        saved = state.stateful_callbacks.get(type(self).__name__)
        if state.global_step and isinstance(saved, dict) and saved.get("args"):
            counts = saved["args"]
            self.trained_tokens = counts["trained_tokens"]
            self.tokens = counts["tokens"]
            self.loss_sum = counts["loss_sum"]
            self.seconds = counts["seconds"]
            assert self._trainer is not None, "counters without a trainer"
            self._trainer.set_loss_window(counts["window_loss"], counts["window_start"])
        self._tokens_at_start, self._seconds_at_start = self.tokens, self.seconds
        self._since = time.perf_counter()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop the clock."""
        self.seconds = self.seconds_now
        self._since = None

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, in the shape the library asks for."""
        counts = {
            "trained_tokens": self.trained_tokens,
            "tokens": self.tokens,
            "loss_sum": self.loss_sum,
            "seconds": self.seconds_now,
        }
        if self._trainer is not None:
            counts["window_loss"], counts["window_start"] = self._trainer.loss_window()
        return {"args": counts, "attributes": {}}
