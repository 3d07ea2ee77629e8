"""The trainer of a run, put together from the configuration: arguments, schedule, callbacks, parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainingArguments

from axolotl.config.training import TrainingSection
from axolotl.core.console import note
from axolotl.models.compile import compile_layers
from axolotl.models.fused_losses import asked_kernel
from axolotl.models.matmul import Route, RouteOfRun
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
from axolotl.training.checkpointing import Kept
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
    route: Route,
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
        route: The matmul route that it computes by; checkpoints keep it.
        trackers: What follows the run; for callbacks that have something to show.
        sources: From the number of a row of this process to the source rows in it.
    """
    steps = plan.steps
    counters, places = RunCounters(), RowPlaces(steps, sources)
    rate = learning_rate(
        resolved.schedule,
        learning_rate=resolved.optimizer.learning_rate,
        total=steps.total,
        warmup=steps.warmup,
        evaluates=plan.eval_loader is not None,
    )
    best = _best(resolved, resume)
    stop = StopOnSignal(evaluates=plan.eval_loader is not None)
    relora = build_relora(resolved, model, tokenizer, total=steps.total)
    # Both change what a step does, so they come first, and both have a part in checkpoints.
    first: list[Any] = [part for part in (relora, rate.follow) if part is not None]
    make_optimizer = OptimizerMaker(resolved.optimizer)
    make_optimizer.check(model)
    arguments = _arguments(resolved, plan)
    trainer = PackedTrainer(
        model=model,
        args=arguments,
        loaders=Loaders(plan.train_loader, plan.eval_loader),
        kept=Kept(
            make_optimizer=make_optimizer,
            lr_factor=with_restarts(rate.factor, resolved.relora, total=steps.total),
            fingerprint=marks,
            best=best,
            parts=[*first, RouteOfRun(route), *([_StreamPlace(plan)] if plan.streamed else [])],
        ),
        counters=counters,
        tokenizer=tokenizer,
        callbacks=[
            *first,
            *_cadence(resolved, plan),
            *([best] if best else []),
            *_watching(resolved, plan, counters, places, trackers),
            trackers,
            stop,
        ],
        places=places,
        loss_kernel=asked_kernel(
            resolved.loss, flash_attn_cross_entropy=resolved.attention.flash_attn_cross_entropy
        ),
    )
    trainer.stop, stop.agree = stop, trainer.any_process
    trainer.evaluates_in = formats(resolved.precision, gpu=not arguments.use_cpu).evaluation
    if rate.follow:
        rate.follow.apply = trainer.apply_rate
    if alpha := resolved.training.noisy_embedding_alpha:
        trainer.noise = EmbeddingNoise(model, alpha)
    _compile(resolved.training, model)
    return trainer, stop


def _arguments(resolved: Resolved, plan: Plan) -> TrainingArguments:
    """The file's options in the library's words."""
    steps, saving, evaluation = plan.steps, resolved.saving, resolved.evaluation
    return training_arguments(
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


def _best(resolved: Resolved, resume: Path | None) -> BestCheckpoint | None:
    """What chooses among the checkpoints; None where the last one is taken."""
    evaluation = resolved.evaluation
    if not evaluation.load_best_model_at_end:
        return None
    return BestCheckpoint(
        Path(resolved.saving.output_dir),
        resume=resume,
        patience=evaluation.early_stopping_patience,
        metric=metric_key(evaluation.metric_for_best_model),
    )


def _cadence(resolved: Resolved, plan: Plan) -> Iterator[TrainerCallback]:
    """When checkpoints and evaluations happen that the library knows no times for."""
    evaluation = resolved.evaluation
    yield PerEpoch(
        plan.steps.per_epoch,
        saves=resolved.saving.saves_per_epoch,
        evaluations=evaluation.evals_per_epoch if plan.eval_loader else None,
    )
    if plan.eval_loader and evaluation.eval_steps and evaluation.eval_steps < 1:
        yield EvaluateAfterFirstStep()


def _watching(
    resolved: Resolved, plan: Plan, counters: RunCounters, places: RowPlaces, trackers: Trackers
) -> Iterator[TrainerCallback]:
    """What looks at losses and memory, and writes them down."""
    file = Path(resolved.saving.output_dir) / "metrics.jsonl"
    yield MetricsFile(file, counters, epochs=plan.streamed is None, trackers=trackers)
    yield FirstMemory()
    if threshold := resolved.training.loss_watchdog_threshold:
        most = resolved.training.loss_watchdog_patience
        yield LossWatchdog(threshold, patience=most, counters=counters, places=places)


def _compile(training: TrainingSection, model: Any) -> None:
    if training.torch_compile:
        count = compile_layers(
            model, backend=training.torch_compile_backend, mode=training.torch_compile_mode
        )
        note(f"torch_compile: {count} layers are compiled when they are first used")


class _StreamPlace:
    """Where a stream is to be read on; the planning of a resume reads it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def save(self, checkpoint: Path, step: int) -> None:
        assert self.plan.streamed is not None
        self.plan.streamed.mark(step * self.plan.steps.accumulation).write(checkpoint)

    def load(self, checkpoint: Path) -> None:
        """Nothing: it was read when the rows were planned."""
