"""Which checkpoint is the best one, and when to stop because no better one comes.

The library's own bookkeeping follows the best evaluation, whether or not there is a checkpoint of it,
and begins to count anew on a resume. Here only checkpoints are candidates, each is evaluated, and
counts and choice are kept in every checkpoint.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from axolotl.core.console import note


class BestCheckpoint(TrainerCallback, ExportableState):
    """Knows the checkpoint with the lowest held-out loss; ends the run when patience is at an end.

    Args:
        run_folder: Where the checkpoints of this run are.
        resume: The checkpoint that the run goes on from; the best may lie beside it.
        patience: Stop after so many evaluations without a lower loss than all before; None never.
        metric: The figure of an evaluation that tells: a loss, or an accuracy, of which more is
            better; that is counted as a loss by its negative.
    """

    def __init__(
        self,
        run_folder: Path,
        *,
        resume: Path | None = None,
        patience: int | None = None,
        metric: str = "eval_loss",
    ) -> None:
        self.patience = patience
        self.metric = metric
        self.step: int | None = None
        """Step of the best checkpoint; None before there is one."""
        self.loss = math.inf
        """Its loss."""
        self._lowest = math.inf
        self._without_better = 0
        self._evaluated: tuple[int, float] = (-1, math.inf)
        self._folders = [run_folder, *([resume.parent] if resume is not None else [])]

    @property
    def folder(self) -> Path | None:
        """The best checkpoint; None if there is none, or it has been removed."""
        places = [folder / f"checkpoint-{self.step}" for folder in self._folders]
        return next((place for place in places if place.is_dir()), None)

    @property
    def exhausted(self) -> bool:
        """Whether patience is at an end."""
        return self.patience is not None and self._without_better >= self.patience

    @property
    def words(self) -> str:
        """What the best checkpoint came to."""
        if higher_is_better(self.metric):
            return f"{self.metric} {-self.loss:.4f}"
        return f"{'held-out loss' if self.metric == 'eval_loss' else self.metric} {self.loss:.4f}"

    def saving(self, step: int) -> None:
        """A checkpoint is about to be written: it may be the best one."""
        evaluated_at, loss = self._evaluated
        if evaluated_at == step and loss < self.loss:
            self.step, self.loss = step, loss

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take up what the checkpoint knows; go no further if patience was at an end there."""
        # A checkpoint of a run without this callback has no place for it.
        saved = state.stateful_callbacks.setdefault(type(self).__name__, self.state())
        if not state.global_step:
            return
        known = saved["attributes"]
        if (before := known.get("metric", "eval_loss")) != self.metric:
            note(f"the best checkpoint is chosen anew, by {self.metric} instead of {before}")
            return
        self._lowest = _number(known["lowest"])
        self._without_better = known["without_better"]
        self.step, self.loss = known["step"], _number(known["loss"])
        if self.step is not None and self.folder is None:
            note(f"checkpoint-{self.step}, the best one so far, is gone: it is chosen among others")
            self.step, self.loss = None, math.inf
        control.should_training_stop = control.should_training_stop or self.exhausted

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Every checkpoint has its evaluation, the one after the last step too."""
        control.should_evaluate = control.should_evaluate or control.should_save

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any
    ) -> None:
        """Count, and stop when patience is at an end."""
        loss = -metrics[self.metric] if higher_is_better(self.metric) else metrics[self.metric]
        self._evaluated = state.global_step, loss
        self._without_better = 0 if loss < self._lowest else self._without_better + 1
        self._lowest = min(self._lowest, loss)
        if self.exhausted and not control.should_training_stop:
            control.should_training_stop = True
            note(
                f"stopping at step {state.global_step}: "
                f"no better {'loss' if self.metric == 'eval_loss' else self.metric} in "
                f"{self._without_better} evaluations"
            )

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, in the shape the library asks for."""
        known = {
            "step": self.step,
            "loss": self.loss,
            "lowest": self._lowest,
            "without_better": self._without_better,
        }
        finite = {key: None if value == math.inf else value for key, value in known.items()}
        return {"args": {}, "attributes": {"metric": self.metric, **finite}}


def metric_key(name: str | None) -> str:
    """The name in `metrics.jsonl` of what `metric_for_best_model` names.

    >>> metric_key(None), metric_key("loss"), metric_key("bench_accuracy")
    ('eval_loss', 'eval_loss', 'bench_accuracy')
    """
    name = name or "loss"
    return name if name.startswith(("eval_", "bench_")) else f"eval_{name}"


def higher_is_better(metric: str) -> bool:
    """Whether more of a figure is better."""
    return metric.endswith("_accuracy")


def _number(value: float | None) -> float:
    """JSON has no number for infinity."""
    return math.inf if value is None else value
