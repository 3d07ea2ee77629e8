"""What an evaluation found out besides the loss over all rows, on the screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import TrainerCallback

from axolotl.core.console import note
from axolotl.data.eval_sets import EvalSets

_BENCH, _ACCURACY = "bench_", "_accuracy"
_SHOWN_SUBJECTS = 12


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


def bench_words(metrics: Mapping[str, float], questions: int) -> str:
    """Accuracies and loss in one line.

    >>> found = {"bench_accuracy": 0.5, "bench_arc_accuracy": 0.5, "bench_loss": 1.25}
    >>> bench_words(found, 8)
    '4 of 8 questions right (50.0%), loss 1.2500; arc 50.0%'
    """
    share = metrics["bench_accuracy"]
    head = (
        f"{round(share * questions):,} of {questions:,} questions right ({share:.1%}), "
        f"loss {metrics['bench_loss']:.4f}"
    )
    subjects = [f"{name} {found:.1%}" for name, found in subject_shares(metrics).items()]
    more = len(subjects) - _SHOWN_SUBJECTS
    listed = subjects[:_SHOWN_SUBJECTS] + ([f"{more} more"] if more > 0 else [])
    return f"{head}; {', '.join(listed)}" if listed else head


def subject_shares(metrics: Mapping[str, float]) -> dict[str, float]:
    """The accuracy of each subject, by its name in the metrics."""
    return {
        key.removeprefix(_BENCH).removesuffix(_ACCURACY): value
        for key, value in metrics.items()
        if key.startswith(_BENCH)
        and key.endswith(_ACCURACY)
        and key not in ("bench_accuracy", "bench_average_accuracy")
    }
