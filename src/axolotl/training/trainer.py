"""A thin `transformers.Trainer`: own batches, own loss, own evaluation; the loop is the library's.

What is replaced, and why:
- data loaders: batches come from a pack plan and are already one per rank;
- `compute_loss`: the loss is computed inside the head, at labelled positions only;
- `evaluate`: a mean over trained tokens, not over batches;
- optimizer, schedule and checkpoints: see `axolotl.training.checkpointing`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader
from transformers import PrinterCallback, TrainingArguments

from axolotl.data.eval_sets import EvalSets
from axolotl.data.origins import origins_in
from axolotl.models.noise import EmbeddingNoise
from axolotl.training.bench.score import Bench
from axolotl.training.callbacks.interrupt import StopOnSignal
from axolotl.training.checkpointing import CheckpointingTrainer, Kept
from axolotl.training.counters import RunCounters
from axolotl.training.divergence import diverged, diverged_on_held_out
from axolotl.training.evaluation import EvalResult, GivenUp, evaluate_loss
from axolotl.training.loss import RowLoss, label_count
from axolotl.training.places import RowPlaces
from axolotl.training.precision import weights_in


class AnswersOfEvaluation(Protocol):
    """Asks a model something at each evaluation."""

    def prepare(self, model: Any, give_up: Callable[[], bool]) -> None:
        """Ask it, and tell nothing yet; on every process.

        Args:
            model: The model.
            give_up: Asked on the way whether to go on.

        Raises:
            GivenUp: it was not to go on.
        """
        ...


@dataclass(frozen=True)
class Loaders:
    """Where the batches come from.

    Args:
        train: One flattened row per step, shapes (1, T).
        eval: The same for the held-out rows; None without them.
    """

    train: DataLoader[Any]
    eval: DataLoader[Any] | None = None


class PackedTrainer(CheckpointingTrainer):
    """Trains on flattened rows.

    Args:
        model: Model, or model with adapter.
        args: The library's arguments.
        loaders: Batches, not to be sharded again.
        kept: Optimizer, schedule, and what goes into checkpoints.
        counters: Counts tokens and loss over the whole training, resumes included.
        tokenizer: Saved with every checkpoint.
        callbacks: Further callbacks, that of the best checkpoint among them.
        places: Knows which source rows a row holds.
        loss_kernel: As `kernel` of `RowLoss`.
    """

    def __init__(
        self,
        *,
        model: torch.nn.Module,
        args: TrainingArguments,
        loaders: Loaders,
        kept: Kept,
        counters: RunCounters,
        tokenizer: Any,
        callbacks: list[Any],
        places: RowPlaces,
        loss_kernel: str | None = None,
    ) -> None:
        self.places = places
        self.loaders = loaders
        self.counters = counters
        config: Any = model.config
        base_use_cache = config.use_cache
        super().__init__(
            kept=kept,
            model=model,
            args=args,
            train_dataset=loaders.train.dataset,
            eval_dataset=loaders.eval.dataset if loaders.eval else None,
            processing_class=tokenizer,
            callbacks=[counters, *callbacks],
        )
        # The library has set it to False; it is saved with the model, and a forward pass of the
        # training turns the cache off by itself.
        config.use_cache = base_use_cache
        self.remove_callback(PrinterCallback)
        counters.attach(self)
        self.bench: Bench | None = None
        """Questions to be answered at each evaluation."""
        self.noise: EmbeddingNoise | None = None
        """What goes on the embeddings while training."""
        self.answers: list[AnswersOfEvaluation] = []
        """What is asked of the model at each evaluation besides; told when the evaluation is."""
        self.stop: StopOnSignal | None = None
        """Knows whether the run is to end."""
        self.evaluates_in: torch.dtype | None = None
        """What the weights are converted to for an evaluation; None leaves them as they are."""
        self.row_loss = RowLoss(
            model, autocast=lambda: self.accelerator.autocast(), kernel=loss_kernel
        )
        # The loss below is normalized by the labels of the whole accumulated batch.
        self.model_accepts_loss_kwargs = True

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The loader as given: its sampler knows the rank already."""
        return self.loaders.train

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Summed cross entropy over the labels of the whole accumulated batch, all ranks included.

        Raises:
            ValueError: outputs are asked for; there are none.
            Diverged: it is not finite.
        """
        if return_outputs:
            raise ValueError("the loss is computed inside the head: there are no outputs")
        step = self.state.global_step
        self.places.advance(step)
        with self.noise(inputs["position_ids"]) if self.noise else nullcontext():
            total = self.row_loss(model, inputs)
        if not math.isfinite(loss := float(total.detach())):
            raise diverged(f"the loss is {loss}", step=step + 1, rows=self.places.of_row())
        self.counters.add(total.detach(), label_count(inputs), inputs["input_ids"].numel())
        items = torch.as_tensor(num_items_in_batch, device=total.device).clamp(min=1)
        # The mean over ranks that gradients get divides by their number once more.
        return total / items * self.accelerator.num_processes

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """As the library's; a gradient that is not finite would spoil all weights.

        Raises:
            Diverged: it is not finite, and nobody scales the loss down and tries again.
        """
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        scales = self.accelerator.scaler is not None
        if norm is not None and not scales and not math.isfinite(value := float(norm)):
            raise diverged(
                f"the norm of the gradient is {value}",
                step=self.state.global_step + 1,
                rows=self.places.of_step(),
            )
        return norm

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Mean loss per trained token over the held-out rows of all ranks, and of each set of them.

        Raises:
            Diverged: it is not finite.
        """
        assert self.loaders.eval is not None, "evaluation without held-out rows"
        self.at_average()
        try:
            result = self._evaluated(self.loaders.eval)
            for asked in self.answers if result.not_finite is None else ():
                asked.prepare(self.model, self._gives_up)
        except GivenUp:
            assert self.stop is not None, "given up without a signal"
            self.stop.cut_evaluation(self.state, self.control)
            return {}
        metrics = result.metrics(metric_key_prefix)
        self.log(dict(metrics))
        if result.not_finite is not None:
            raise diverged_on_held_out(
                result.not_finite,
                step=self.state.global_step,
                rows=origins_in(self.loaders.eval.dataset, result.broken),
            )
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        if self.stop is not None:
            self.stop.evaluated(self.state, self.control)
        return metrics

    def make_up_evaluation(self) -> None:
        """Evaluate after the checkpoint of a step was written, instead of before."""
        stop, best = self.stop, self.best
        saved = stop is not None and stop.owes_evaluation and stop.save_was_due
        if self.evaluate() and best is not None and saved:
            best.saving(self.state.global_step)

    def _evaluated(self, rows: DataLoader[Any]) -> EvalResult:
        with self._formats_of_evaluation():
            result = evaluate_loss(
                self.model_wrapped,
                rows,
                self.row_loss,
                device=self.args.device,
                sum_over_ranks=self._sum_over_ranks,
                give_up=self._gives_up,
            )
            if self.bench is None:
                return result
            answered = self.bench(
                self.model_wrapped,
                self.row_loss,
                device=self.args.device,
                sum_over_ranks=self._sum_over_ranks,
                give_up=self._gives_up,
            )
            return replace(result, bench=answered)

    def _gives_up(self) -> bool:
        """Several processes would have to agree before every row; they finish an evaluation."""
        alone = self.accelerator.num_processes == 1
        return alone and self.stop is not None and self.stop.cuts_evaluation

    def any_process(self, marks: Sequence[bool]) -> Sequence[bool]:
        """Which of some marks one of all processes has."""
        if self.accelerator.num_processes == 1:
            return marks
        flags = torch.tensor([float(mark) for mark in marks], device=self.args.device)
        return [bool(count > 0) for count in self._sum_over_ranks(flags).tolist()]

    @contextmanager
    def _formats_of_evaluation(self) -> Iterator[None]:
        """The number formats of an evaluation, where they are not those of the training."""
        model: Any = self.model
        autocast = self.row_loss.autocast
        if self.evaluates_in is not None:
            self.row_loss.autocast = nullcontext
        try:
            with weights_in(model, self.evaluates_in):
                yield
        finally:
            self.row_loss.autocast = autocast

    @property
    def sets(self) -> EvalSets | None:
        """The sets that the rows to evaluate on are of, where there are several."""
        return getattr(self.loaders.eval.dataset, "sets", None) if self.loaders.eval else None

    def _sum_over_ranks(self, total: torch.Tensor) -> torch.Tensor:
        return self.accelerator.reduce(total, reduction="sum")  # pyright: ignore[reportReturnType]

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """One pass; none where all is done, and the library would take one more on a resume."""
        if self.stop is not None and self.stop.owes_evaluation:
            self.make_up_evaluation()
        if self.state.global_step < self.state.max_steps and not self.control.should_training_stop:
            super()._run_epoch(*args, **kwargs)
