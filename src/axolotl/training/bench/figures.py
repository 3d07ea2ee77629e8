"""What a round of questions came to, by the names of metrics and for reading."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_PREFIX, _ACCURACY = "bench_", "_accuracy"
_WHOLE = ("bench_accuracy", "bench_average_accuracy", "bench_loss")
_SHOWN_SUBJECTS = 12


def bench_record(metrics: Mapping[str, float]) -> dict[str, Any]:
    """The figures as JSON has them; empty where no questions were asked.

    >>> bench_record({"bench_accuracy": 0.5, "bench_arc_accuracy": 0.5, "bench_loss": 1.25})
    {'accuracy': 0.5, 'loss': 1.25, 'subjects': {'arc': 0.5}}
    """
    whole = {key.removeprefix(_PREFIX): metrics[key] for key in _WHOLE if key in metrics}
    return {**whole, "subjects": _subjects(metrics)} if whole else {}


def bench_words(metrics: Mapping[str, float], questions: int) -> str:
    """The same in one line.

    Args:
        metrics: The figures.
        questions: How many questions were asked.

    >>> found = {"bench_accuracy": 0.5, "bench_arc_accuracy": 0.5, "bench_loss": 1.25}
    >>> bench_words(found, 8)
    '4 of 8 questions right (50.0%), loss 1.2500; arc 50.0%'
    """
    share = metrics["bench_accuracy"]
    head = (
        f"{round(share * questions):,} of {questions:,} questions right ({share:.1%}), "
        f"loss {metrics['bench_loss']:.4f}"
    )
    subjects = [f"{name} {found:.1%}" for name, found in _subjects(metrics).items()]
    more = len(subjects) - _SHOWN_SUBJECTS
    listed = subjects[:_SHOWN_SUBJECTS] + ([f"{more} more"] if more > 0 else [])
    if len(subjects) > 1:
        listed.append(f"{metrics['bench_average_accuracy']:.1%} on average of the subjects")
    return f"{head}; {', '.join(listed)}" if listed else head


def _subjects(metrics: Mapping[str, float]) -> dict[str, float]:
    """The accuracy of each subject, by its name in the metrics."""
    return {
        key.removeprefix(_PREFIX).removesuffix(_ACCURACY): value
        for key, value in metrics.items()
        if key.startswith(_PREFIX) and key.endswith(_ACCURACY) and key not in _WHOLE
    }
