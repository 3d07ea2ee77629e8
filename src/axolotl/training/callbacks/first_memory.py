"""How much memory a step takes, said once: after the first one hardly anything is added."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from axolotl.core.console import note
from axolotl.training.memory import memory_figures, memory_words


class FirstMemory(TrainerCallback):
    """Says it after the first step of this process."""

    def __init__(self) -> None:
        self.said = False

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Say it."""
        if not self.said and state.is_world_process_zero:
            where = "GPU memory" if args.device.type == "cuda" else "memory"
            note(f"{where} after the first step: {memory_words(memory_figures(args.device))}")
        self.said = True
