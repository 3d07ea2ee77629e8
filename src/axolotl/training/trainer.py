"""A thin `transformers.Trainer`: own batches, own loss, own evaluation; the loop is the library's.

What is replaced, and why:
- data loaders: batches come from a pack plan and are already one per rank;
- `compute_loss`: the loss is computed inside the head, at labelled positions only;
- `evaluate`: a mean over trained tokens, not over batches;
- schedule: a factor per step from `axolotl.schedules`;
- checkpoints: written aside and renamed, without pickled arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from peft import PeftModel
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainingArguments

from axolotl.core.atomic import usual_permissions
from axolotl.data.eval_sets import EvalSets
from axolotl.errors import ModelError
from axolotl.models.adapters import save_adapter, take_weights
from axolotl.models.noise import EmbeddingNoise
from axolotl.models.quiet import no_library_bars
from axolotl.training import checkpoints
from axolotl.training.answer_ends import write_stops
from axolotl.training.bench.score import Bench
from axolotl.training.callbacks.best import BestCheckpoint
from axolotl.training.callbacks.interrupt import StopOnSignal
from axolotl.training.checkpoint_files import loading
from axolotl.training.counters import RunCounters
from axolotl.training.divergence import diverged
from axolotl.training.evaluation import EvalResult, GivenUp, evaluate_loss
from axolotl.training.fingerprint import Fingerprint, write_fingerprint
from axolotl.training.loss import RowLoss, label_count
from axolotl.training.optimizer import OptimizerMaker, settings, take_up_settings
from axolotl.training.optimizers import set_rate
from axolotl.training.places import RowPlaces
from axolotl.training.precision import weights_in


@dataclass(frozen=True)
class Loaders:
    """Where the batches come from.

    Args:
        train: One flattened row per step, shapes (1, T).
        eval: The same for the held-out rows; None without them.
    """

    train: DataLoader[Any]
    eval: DataLoader[Any] | None = None


class CheckpointPart(Protocol):
    """Something that a checkpoint keeps besides weights, optimizer and tokenizer."""

    def save(self, checkpoint: Path, step: int) -> None:
        """Put it into a checkpoint that is being written; only on the process that writes."""
        ...

    def load(self, checkpoint: Path) -> None:
        """Take it up on a resume, after the weights and before the first step; on every process."""
        ...


@runtime_checkable
class WeightsPart(CheckpointPart, Protocol):
    """One that keeps weights, and writes the result of the run."""

    def take(self, checkpoint: Path) -> None:
        """Go back to the weights of a checkpoint of this run; on every process."""
        ...

    def save_result(self, folder: Path) -> None:
        """Write what was trained, and the tokenizer; only on the process that writes."""
        ...


class PackedTrainer(Trainer):
    """Trains on flattened rows.

    Args:
        model: Model, or model with adapter.
        args: The library's arguments.
        loaders: Batches, not to be sharded again.
        make_optimizer: Builds the optimizer.
        lr_factor: Maps a step (from 0) to the factor on the learning rate.
        counters: Counts tokens and loss over the whole training, resumes included.
        tokenizer: Saved with every checkpoint.
        callbacks: Further callbacks, `best` among them.
        fingerprint: Written into every checkpoint; see `axolotl.training.fingerprint`.
        places: Knows which source rows a row holds.
        best: Told of every checkpoint, and the one that it names is kept; None without a choice.
        parts: What a checkpoint keeps besides weights, optimizer and tokenizer.
    """

    def __init__(
        self,
        *,
        model: torch.nn.Module,
        args: TrainingArguments,
        loaders: Loaders,
        make_optimizer: OptimizerMaker,
        lr_factor: Callable[[int], float],
        counters: RunCounters,
        tokenizer: Any,
        callbacks: list[Any],
        fingerprint: Fingerprint,
        places: RowPlaces,
        best: BestCheckpoint | None = None,
        parts: Sequence[CheckpointPart] = (),
    ) -> None:
        self.parts = parts
        self.places = places
        self.fingerprint = fingerprint
        self.best = best
        self.loaders = loaders
        self.make_optimizer = make_optimizer
        self.lr_factor = lr_factor
        self.counters = counters
        config: Any = model.config
        base_use_cache = config.use_cache
        super().__init__(
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
        self.stop: StopOnSignal | None = None
        """Knows whether the run is to end."""
        self.evaluates_in: torch.dtype | None = None
        """What the weights are converted to for an evaluation; None leaves them as they are."""
        self.row_loss = RowLoss(model, autocast=lambda: self.accelerator.autocast())
        # The loss below is normalized by the labels of the whole accumulated batch.
        self.model_accepts_loss_kwargs = True

    def loss_window(self) -> tuple[float, int]:
        """Sum of the step losses since the last log line, and the step of that line."""
        if not hasattr(self, "_tr_loss"):
            return 0.0, 0
        return float(self._tr_loss), self._globalstep_last_logged

    def set_loss_window(self, summed_loss: float, since_step: int) -> None:
        """Put back what `loss_window` gave."""
        self._tr_loss = torch.tensor(summed_loss, device=self.args.device)
        self._globalstep_last_logged = since_step

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The loader as given: its sampler knows the rank already."""
        return self.loaders.train

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """The optimizer, with a group for each learning rate."""
        if self.optimizer is None:
            chosen: Any = self.model if model is None else model
            self.optimizer = self.make_optimizer(chosen, self.get_decay_parameter_names(chosen))
        return self.optimizer

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> Any:
        """One factor per step on every parameter group's learning rate."""
        if self.lr_scheduler is None:
            chosen: Any = optimizer or self.optimizer
            # A function: of other callables the schedule would put the attributes into checkpoints.
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                chosen, lambda step: self.lr_factor(step)
            )
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def apply_rate(self) -> None:
        """Take the learning rate of the next step from the factor as it is now."""
        schedule: Any = self.lr_scheduler
        factor = self.lr_factor(schedule.last_epoch)
        rates = [rate * factor for rate in schedule.base_lrs]
        groups: Any = schedule.optimizer.param_groups
        for group, rate in zip(groups, rates, strict=True):
            set_rate(group, rate)
        schedule._last_lr = [group["lr"] for group in groups]

    def at_average(self) -> None:
        """Go to the weights that are to be used, where they are not those that are trained at.

        The library goes back before the next training step.
        """
        optimizer: Any = self.optimizer
        if callable(getattr(optimizer, "eval", None)):
            optimizer.eval()

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
        """Mean loss per trained token over the held-out rows of all ranks, and of each set of them."""
        assert self.loaders.eval is not None, "evaluation without held-out rows"
        self.at_average()
        try:
            result = self._evaluated(self.loaders.eval)
        except GivenUp:
            assert self.stop is not None, "given up without a signal"
            self.stop.cut_evaluation(self.state, self.control)
            return {}
        metrics = result.metrics(metric_key_prefix)
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

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
            )
            return replace(result, bench=answered)

    def _gives_up(self) -> bool:
        """Several processes would have to agree before every row; they finish an evaluation."""
        alone = self.accelerator.num_processes == 1
        return alone and self.stop is not None and self.stop.cuts_evaluation

    def any_process(self, wanted: bool) -> bool:
        """Whether one of all processes wants something."""
        if self.accelerator.num_processes == 1:
            return wanted
        flag = torch.tensor(float(wanted), device=self.args.device)
        return bool(self._sum_over_ranks(flag) > 0)

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

    def _get_output_dir(self, trial: Any) -> str:
        """Checkpoints are written into a staging folder first; see `_save_checkpoint`."""
        return str(checkpoints.staging_folder(Path(str(self.args.output_dir))))

    def check_finite(self) -> None:
        """Refuse to go on with, or to write, what is of no use.

        Raises:
            AxolotlError: the loss since the last log line, or a trained weight, is not finite.
        """
        loss, _ = self.loss_window()
        if not math.isfinite(loss):
            raise diverged(f"the loss is {loss}", step=self.state.global_step)
        model: Any = self.model
        trained = [p.detach() for p in model.parameters() if p.requires_grad]
        if not torch.stack([torch.isfinite(p).all() for p in trained]).all():
            raise diverged("a weight is not finite", step=self.state.global_step)

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """One pass; none where all is done, and the library would take one more on a resume."""
        if self.state.global_step < self.state.max_steps and not self.control.should_training_stop:
            super()._run_epoch(*args, **kwargs)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self.check_finite()
        run_folder = Path(str(self.args.output_dir))
        if self.best is not None:
            self.best.saving(self.state.global_step)
        with checkpoints.staged(run_folder, is_writer=self.args.should_save) as finish:
            super()._save_checkpoint(model, trial)
            if self.args.should_save:
                staging = checkpoints.staging_folder(run_folder)
                name = f"checkpoint-{self.state.global_step}"
                write_fingerprint(staging / name, self.fingerprint)
                for part in self.parts:
                    part.save(staging / name, self.state.global_step)
            self.accelerator.wait_for_everyone()
            finish(keep=self.args.save_total_limit, spare=self.best and self.best.folder)

    def take_weights(self, checkpoint: Path) -> None:
        """Go back to the weights of a checkpoint of this run."""
        self.at_average()
        self._load_from_checkpoint(str(checkpoint))
        for part in self.parts:
            if isinstance(part, WeightsPart):
                part.take(checkpoint)

    def save_result(self, folder: Path) -> None:
        """Write model or adapter, and the tokenizer."""
        for part in self.parts:
            if isinstance(part, WeightsPart):
                part.save_result(folder)
                return
        self.save_model(str(folder))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        with loading(resume_from_checkpoint):
            unwrapped: Any = self.accelerator.unwrap_model(model or self.model)
            if not take_weights(unwrapped, Path(resume_from_checkpoint)):
                super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        with loading(checkpoint):
            super()._load_rng_state(checkpoint)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Load their states; learning rate, decay and the like are those of this run's file."""
        if checkpoint is None:
            return
        optimizer: Any = self.optimizer
        schedule: Any = self.lr_scheduler
        rates = list(schedule.base_lrs)
        ours = settings(optimizer)
        with loading(checkpoint):
            super()._load_optimizer_and_scheduler(checkpoint)
            for part in self.parts:
                part.load(Path(checkpoint))
            factor = self.lr_factor(schedule.last_epoch)
        schedule.base_lrs = rates
        now = [rate * factor for rate in rates]
        take_up_settings(optimizer, ours, now, kept=self.make_optimizer.kept)
        schedule._last_lr = [group["lr"] for group in optimizer.param_groups]

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """A checkpoint that lacks weights, or has others, is not of this model: refuse it.

        Raises:
            ModelError: names the first weight; tied ones are stored once and may be missing.
        """
        tied = set(getattr(self.model, "all_tied_weights_keys", None) or ())
        wrong = [*(set(load_result.missing_keys) - tied), *load_result.unexpected_keys]
        if wrong:
            raise ModelError(
                f"the checkpoint does not fit the model: {len(wrong)} weights, such as {wrong[0]}",
                where="resume_from_checkpoint",
                hint="resume with the base_model and adapter options that it was written with",
            )

    def _save(
        self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None
    ) -> None:
        """Weights in safetensors, where answers end, and the tokenizer; no pickled arguments."""
        self.at_average()
        if not self.args.should_save:
            return
        target = output_dir or str(self.args.output_dir)
        unwrapped: Any = self.accelerator.unwrap_model(self.model)
        with no_library_bars():
            if isinstance(unwrapped, PeftModel):
                save_adapter(unwrapped, Path(target), state_dict=state_dict)
            else:
                unwrapped.save_pretrained(target, state_dict=state_dict)
        write_stops(unwrapped, Path(target))
        if self.processing_class is not None:
            self.processing_class.save_pretrained(target)
        usual_permissions(Path(target))
