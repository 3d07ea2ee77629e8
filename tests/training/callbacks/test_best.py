"""A checkpoint is judged by its own evaluation, not by one before it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from axolotl.training.callbacks.best import BestCheckpoint


def evaluated(best: BestCheckpoint, step: int, loss: float) -> None:
    control = SimpleNamespace(should_training_stop=False)
    best.on_evaluate(None, SimpleNamespace(global_step=step), control, {"eval_loss": loss})


def test_a_checkpoint_without_an_evaluation_is_no_candidate(tmp_path: Path) -> None:
    best = BestCheckpoint(tmp_path)
    evaluated(best, 4, 2.0)
    best.saving(5)
    assert best.step is None
    evaluated(best, 6, 3.0)
    best.saving(6)
    assert (best.step, best.loss) == (6, 3.0)
