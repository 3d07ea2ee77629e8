"""Progress on the screen: a bar with the time left in a terminal, plain lines elsewhere."""

from __future__ import annotations

from typing import Any

from rich.progress import TaskID
from transformers import TrainerCallback

from axolotl.core.console import console, note, progress
from axolotl.training.counters import RunCounters


class ProgressBar(TrainerCallback):
    """A bar over all steps with loss and speed; evaluations leave a line of their own.

    Args:
        counters: Source of the speed.
    """

    def __init__(self, counters: RunCounters) -> None:
        self.counters = counters
        self.bar = progress("steps")
        self.task: TaskID | None = None
        self.loss = ""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Show the bar, at the step the run begins with."""
        if console().is_terminal and state.is_world_process_zero:
            self.task = self.bar.add_task(
                "training", total=state.max_steps, completed=state.global_step, info=""
            )
            self.bar.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Move on."""
        if self.task is not None:
            speed = f"{self.counters.tokens_per_second:,.0f} tokens/s"
            self.bar.update(self.task, completed=state.global_step, info=f"{self.loss} {speed}")

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Show loss and learning rate; without a terminal, as a line."""
        if "eval_loss" in logs:
            note(
                f"step {state.global_step}/{state.max_steps}: held-out loss {logs['eval_loss']:.4f} "
                f"(perplexity {logs['eval_perplexity']:.2f}, {logs['eval_tokens']:,} tokens)"
            )
        elif "loss" in logs:
            self.loss = f"loss {logs['loss']:.4f}"
            if self.task is None:
                note(
                    f"step {state.global_step}/{state.max_steps}: {self.loss}, "
                    f"learning rate {logs['learning_rate']:.2e}, "
                    f"{self.counters.tokens_per_second:,.0f} tokens/s"
                )

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Leave the finished bar standing."""
        if self.task is not None:
            self.bar.update(self.task, completed=state.global_step)
            self.close()

    def close(self) -> None:
        """Take the live bar down; also after an error, so that the terminal is usable."""
        if self.task is not None:
            self.bar.stop()
            self.task = None
