"""The trainer of a run, put together from the configuration: arguments, schedule, callbacks, parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from axolotl.core.console import note
from axolotl.models.compile import compile_layers
from axolotl.models.noise import EmbeddingNoise
from axolotl.resolve import Resolved
from axolotl.training.arguments import every, training_arguments
from axolotl.training.callbacks.best import BestCheckpoint, metric_key
from axolotl.training.callbacks.first_evaluation import EvaluateAfterFirstStep
from axolotl.training.callbacks.first_memory import FirstMemory
from axolotl.training.callbacks.interrupt import StopOnSignal
from axolotl.training.callbacks.metrics import MetricsFile
from axolotl.training.callbacks.per_epoch import PerEpoch
from axolotl.training.callbacks.watchdog import LossWatchdog
from axolotl.training.counters import RunCounters
from axolotl.training.data import Plan
from axolotl.training.fingerprint import Fingerprint
from axolotl.training.optimizer import OptimizerMaker
from axolotl.training.places import RowPlaces
from axolotl.training.precision import formats
from axolotl.training.relora.build import build_relora
from axolotl.training.relora.rate import with_restarts
from axolotl.training.schedule import learning_rate
from axolotl.training.trackers import Trackers
from axolotl.training.trainer import Loaders, PackedTrainer


def build_trainer(
    resolved: Resolved,
    plan: Plan,
    model: Any,
    tokenizer: Any,
    marks: Fingerprint,
    *,
    resume: Path | None,
    trackers: Trackers,
    sources: Callable[[int], Sequence[str]],
) -> tuple[PackedTrainer, StopOnSignal]:
    """The trainer of a run, and what listens for signals.

    Args:
        resolved: The configuration.
        plan: Rows and steps.
        model: Model, with its adapter.
        tokenizer: Saved with every checkpoint.
        marks: What checkpoints say of the run.
        resume: The checkpoint that the run goes on from.
        trackers: What follows the run; for callbacks that have something to show.
        sources: From the number of a row of this process to the source rows in it.
    """
    steps, saving, evaluation = plan.steps, resolved.saving, resolved.evaluation
    counters, places = RunCounters(), RowPlaces(steps, sources)
    evaluates = plan.eval_loader is not None and evaluation.evaluation_strategy != "no"
    rate = learning_rate(
        resolved.schedule,
        learning_rate=resolved.optimizer.learning_rate,
        total=steps.total,
        warmup=steps.warmup,
        evaluates=evaluates,
    )
    following = [rate.follow] if rate.follow else []
    stop = StopOnSignal(evaluate_first=bool(evaluation.load_best_model_at_end or following))
    output = Path(saving.output_dir)
    per_epoch = PerEpoch(
        steps.per_epoch,
        saves=saving.saves_per_epoch,
        evaluations=evaluation.evals_per_epoch if plan.eval_loader else None,
    )
    callbacks: list[Any] = [
        MetricsFile(
            output / "metrics.jsonl", counters, epochs=plan.streamed is None, trackers=trackers
        )
    ]
    callbacks.append(FirstMemory())
    if plan.eval_loader and evaluation.eval_steps and evaluation.eval_steps < 1:
        callbacks.append(EvaluateAfterFirstStep())
    if threshold := resolved.training.loss_watchdog_threshold:
        most = resolved.training.loss_watchdog_patience
        callbacks.append(LossWatchdog(threshold, patience=most, counters=counters, places=places))
    patience = evaluation.early_stopping_patience
    best = None
    if evaluation.load_best_model_at_end:
        best = BestCheckpoint(
            output,
            resume=resume,
            patience=patience,
            metric=metric_key(evaluation.metric_for_best_model),
        )
    arguments = training_arguments(
        training=resolved.training,
        optimizer=resolved.optimizer,
        precision=resolved.precision,
        saving=saving,
        distributed=resolved.distributed,
        save=every(
            saving.save_strategy or "epoch",
            saving.save_steps,
            steps.total,
            per_epoch=saving.saves_per_epoch,
        ),
        evaluate=every(
            (evaluation.evaluation_strategy or "epoch") if plan.eval_loader else "no",
            evaluation.eval_steps,
            steps.total,
            per_epoch=evaluation.evals_per_epoch,
        ),
        logging_steps=steps.logging,
        total_steps=steps.total,
        accumulation_steps=steps.accumulation,
    )
    relora = build_relora(resolved, model, tokenizer, total=steps.total)
    merging = [relora] if relora else []
    make_optimizer = OptimizerMaker(resolved.optimizer)
    make_optimizer.check(model)
    trainer = PackedTrainer(
        model=model,
        args=arguments,
        loaders=Loaders(plan.train_loader, plan.eval_loader),
        make_optimizer=make_optimizer,
        lr_factor=with_restarts(rate.factor, resolved.relora, total=steps.total),
        counters=counters,
        tokenizer=tokenizer,
        callbacks=[
            *merging,
            *following,
            per_epoch,
            *([best] if best else []),
            *callbacks,
            trackers,
            stop,
        ],
        fingerprint=marks,
        places=places,
        best=best,
        parts=[*merging, *following, *([_StreamPlace(plan)] if plan.streamed else [])],
    )
    trainer.stop, stop.agree = stop, trainer.any_process
    trainer.evaluates_in = formats(resolved.precision, gpu=not arguments.use_cpu).evaluation
    training = resolved.training
    if training.torch_compile:
        count = compile_layers(
            model, backend=training.torch_compile_backend, mode=training.torch_compile_mode
        )
        note(f"torch_compile: {count} layers are compiled when they are first used")
    if alpha := resolved.training.noisy_embedding_alpha:
        trainer.noise = EmbeddingNoise(model, alpha)
    if rate.follow:
        rate.follow.apply = trainer.apply_rate
    return trainer, stop


class _StreamPlace:
    """Where a stream is to be read on; the planning of a resume reads it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def save(self, checkpoint: Path, step: int) -> None:
        assert self.plan.streamed is not None
        self.plan.streamed.mark(step * self.plan.steps.accumulation).write(checkpoint)

    def load(self, checkpoint: Path) -> None:
        """Nothing: it was read when the rows were planned."""
