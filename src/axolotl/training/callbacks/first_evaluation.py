"""An evaluation right after the first step, so that later ones have something to be compared with."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback


class EvaluateAfterFirstStep(TrainerCallback):
    """One evaluation more than the library's: its first one comes after a share of all steps."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Ask for it."""
        control.should_evaluate = control.should_evaluate or state.global_step == 1
