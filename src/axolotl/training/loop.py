"""The loop of a run, from its first step to its last figure."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from axolotl.core.console import note
from axolotl.records import RunResult
from axolotl.training.callbacks.best import BestCheckpoint
from axolotl.training.callbacks.interrupt import StopOnSignal
from axolotl.training.callbacks.progress import ProgressBar
from axolotl.training.callbacks.samples import Samples
from axolotl.training.evaluation import recorded
from axolotl.training.memory import peak_bytes
from axolotl.training.trainer import PackedTrainer


def run_loop(
    trainer: PackedTrainer, stop: StopOnSignal, *, resume: Path | None, output: Path
) -> RunResult:
    """Train, evaluate what is still to be evaluated, and go back to the best checkpoint.

    Args:
        trainer: The trainer.
        stop: What listens for signals.
        resume: The checkpoint that the run goes on from.
        output: The run's folder.

    Raises:
        AxolotlError: the training diverged, or a checkpoint cannot be written or read.
    """
    bar = ProgressBar(trainer.counters)
    trainer.add_callback(bar)
    start = time.perf_counter()
    try:
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    finally:
        bar.close()
    trainer.check_finite()
    step = trainer.state.global_step
    if not stop.interrupted and trainer.loaders.eval and _evaluated_at(trainer, step) is None:
        _evaluate_last(trainer, stop)
    if stop.interrupted and stop.owes_evaluation:
        note(f"the held-out loss of step {step:,} is computed when the run is resumed")
    best = None if stop.interrupted else _take_best(trainer)
    evaluated = _evaluated_at(trainer, step if best is None else best.step) or {}
    counters = trainer.counters
    return RunResult(
        output_dir=output,
        steps=step,
        train_loss=counters.train_loss,
        eval_loss=evaluated.get("eval_loss"),
        interrupted=stop.interrupted,
        stopped_by=stop.stopped_by if stop.interrupted else None,
        metrics={
            "seconds": round(counters.seconds, 3),
            "seconds_in_all": round(time.perf_counter() - start, 3),
            "tokens": counters.tokens,
            "trained_tokens": counters.trained_tokens,
            "tokens_per_second": round(counters.tokens_per_second, 2),
            "peak_memory_bytes": peak_bytes(trainer.args.device),
            **({} if best is None else {"checkpoint": best.step}),
            **recorded(evaluated, trainer.sets),
            **_samples(trainer),
        },
    )


def _evaluate_last(trainer: PackedTrainer, stop: StopOnSignal) -> None:
    """The evaluation after the last step; at a signal a checkpoint is written before it goes on."""
    trainer.make_up_evaluation()
    if stop.cuts_evaluation and stop.owes_evaluation:
        trainer.save_checkpoint()
        trainer.make_up_evaluation()


def _samples(trainer: PackedTrainer) -> dict[str, Any]:
    """What the model answered at the last evaluation of this run of the program."""
    found = [part.last for part in trainer.answers if isinstance(part, Samples)]
    return {"samples": found[0]} if found and found[0] else {}


def _take_best(trainer: PackedTrainer) -> BestCheckpoint | None:
    """Go back to the best checkpoint, if one is to be chosen; None where there is none.

    A run that was stopped keeps what it stopped with: its resume goes on from there, and chooses.
    """
    best = trainer.best
    if best is None or (folder := best.folder) is None:
        return None
    trainer.take_weights(folder)
    note(f"the result is {folder.name}, the best one: {best.words}")
    return best


def _evaluated_at(trainer: PackedTrainer, step: int | None) -> dict[str, float] | None:
    """The figures of the last evaluation at a step; None without one there."""
    lines: list[dict[str, float]] = trainer.state.log_history
    found = (line for line in reversed(lines) if "eval_loss" in line and line["step"] == step)
    return next(found, None)
