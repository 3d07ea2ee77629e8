"""What an evaluation found out besides the loss over all rows, on the screen."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from axolotl.core.console import note
from axolotl.data.eval_sets import EvalSets
from axolotl.training.bench.figures import bench_words


class EvalReport(TrainerCallback):
    """Shows the losses of the sets, and how many questions were answered rightly.

    Args:
        sets: The sets of the rows to evaluate on; None where there is one only.
        questions: How many questions are asked.
    """

    def __init__(self, sets: EvalSets | None, questions: int = 0) -> None:
        self.names = sets.names if sets else ()
        self.questions = questions

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any
    ) -> None:
        """Show them, below the line of the loss."""
        if not state.is_world_process_zero:
            return
        width = max(map(len, self.names), default=0)
        for name in self.names:
            loss, perplexity, tokens = (
                metrics[f"eval_{name}_{what}"] for what in ("loss", "perplexity", "tokens")
            )
            note(
                f"  {name:<{width}}  loss {loss:.4f}  perplexity {perplexity:.2f}  {tokens:,} tokens"
            )
        if "bench_accuracy" in metrics:
            note(f"  {bench_words(metrics, self.questions)}")
