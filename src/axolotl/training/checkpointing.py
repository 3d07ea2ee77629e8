"""A Trainer whose weights, optimizer and schedule go into checkpoints and come back bit for bit.

What is replaced of the library's, and why:
- optimizer: a group for each learning rate, built by `axolotl.training.optimizers`;
- schedule: a factor per step from `axolotl.schedules`;
- checkpoints: written aside and renamed, without pickled arguments; what they hold is checked.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from peft import PeftModel

from axolotl.core.atomic import usual_permissions
from axolotl.models.adapters import save_adapter, take_weights
from axolotl.models.published import is_published_otherwise, take_published
from axolotl.models.quiet import no_library_bars, without_lines
from axolotl.models.rope_saved import write_positions
from axolotl.training import checkpoints
from axolotl.training.answer_ends import write_stops
from axolotl.training.callbacks.best import BestCheckpoint
from axolotl.training.checkpoint_files import loading
from axolotl.training.distributed.deepspeed import switched_off
from axolotl.training.distributed.parts import all_finite
from axolotl.training.distributed.trainer import ShardedTrainer, misfit
from axolotl.training.divergence import diverged
from axolotl.training.fingerprint import Fingerprint, write_fingerprint
from axolotl.training.optimizer import OptimizerMaker, settings, take_up_settings
from axolotl.training.optimizers import set_rate


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


@dataclass(frozen=True)
class Kept:
    """What a run puts into its checkpoints, and how its weights are moved.

    Args:
        make_optimizer: Builds the optimizer.
        lr_factor: Maps a step (from 0) to the factor on the learning rate.
        fingerprint: Written into every checkpoint; see `axolotl.training.fingerprint`.
        best: Told of every checkpoint, and the one that it names is kept; None without a choice.
        parts: What a checkpoint keeps besides weights, optimizer and tokenizer.
    """

    make_optimizer: OptimizerMaker
    lr_factor: Callable[[int], float]
    fingerprint: Fingerprint
    best: BestCheckpoint | None = None
    parts: Sequence[CheckpointPart] = ()


class CheckpointingTrainer(ShardedTrainer):
    """A Trainer with our optimizer, schedule and checkpoints.

    Args:
        kept: What goes into checkpoints.
        **of_the_library: Arguments of `transformers.Trainer`.
    """

    def __init__(self, *, kept: Kept, **of_the_library: Any) -> None:
        self.make_optimizer = kept.make_optimizer
        self.lr_factor = kept.lr_factor
        self.fingerprint = kept.fingerprint
        self.best = kept.best
        self.parts = kept.parts
        super().__init__(**of_the_library)

    def loss_window(self) -> tuple[float, int]:
        """Sum of the step losses since the last log line, and the step of that line."""
        if not hasattr(self, "_tr_loss"):
            return 0.0, 0
        return float(self._tr_loss), self._globalstep_last_logged

    def set_loss_window(self, summed_loss: float, since_step: int) -> None:
        """Put back what `loss_window` gave."""
        self._tr_loss = torch.tensor(summed_loss, device=self.args.device)
        self._globalstep_last_logged = since_step

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """The optimizer, with a group for each learning rate."""
        if self.optimizer is None:
            chosen: Any = self.model if model is None else model
            made = self.make_optimizer(chosen, self.get_decay_parameter_names(chosen))
            if self.is_fsdp_enabled or self.is_deepspeed_enabled:  # neither bears an empty group
                made.param_groups[:] = [g for g in made.param_groups if g["params"]]
            self.optimizer, self._ours = made, settings(made)
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
        if self.any_part(not all_finite(model)):
            raise diverged("a weight is not finite", step=self.state.global_step)

    def _init_training_state(self, *args: Any, **kwargs: Any) -> Any:
        """As the library's; what differs from the checkpoint was said by `check_resume`."""
        with without_lines("transformers.trainer_utils", "Warning: The following arguments do not"):
            return super()._init_training_state(*args, **kwargs)

    def _prepare_for_training(self, *args: Any, **kwargs: Any) -> Any:
        """As the library's; torch will rename `broadcast_buffers`, and accelerate knows only that."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
            return super()._prepare_for_training(*args, **kwargs)

    def save_checkpoint(self) -> None:
        """Write one now, after the last step."""
        self._save_checkpoint(self.model, None)
        self.control = self.callback_handler.on_save(self.args, self.state, self.control)

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

    def result_writer(self) -> Callable[[Path], None]:
        """What writes the result, on the process that writes; asked for on every process."""
        whole = None
        if self.cuts_weights:
            self.at_average()
            whole = self.gathered()
        switched_off()
        if whole is None:
            return self.save_result
        return lambda folder: self._save(str(folder), state_dict=whole)

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
            if take_weights(unwrapped, Path(resume_from_checkpoint)):
                return
            cut_up = self.is_fsdp_enabled or self.is_deepspeed_enabled
            if not cut_up and is_published_otherwise(unwrapped):
                self._issue_warnings_after_load(take_published(unwrapped, resume_from_checkpoint))
            else:
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
        with loading(checkpoint):
            super()._load_optimizer_and_scheduler(checkpoint)
            for part in self.parts:
                part.load(Path(checkpoint))
            factor = self.lr_factor(schedule.last_epoch)
        schedule.base_lrs = rates
        now = [rate * factor for rate in rates]
        take_up_settings(optimizer, self._ours, now, kept=self.make_optimizer.kept)
        schedule._last_lr = [group["lr"] for group in optimizer.param_groups]

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """A checkpoint that lacks weights, or has others, is not of this model: refuse it.

        Raises:
            ModelError: names the first weight; tied ones are stored once and may be missing.
        """
        tied = set(getattr(self.model, "all_tied_weights_keys", None) or ())
        wrong = [*(set(load_result.missing_keys) - tied), *load_result.unexpected_keys]
        if wrong:
            raise misfit(wrong)

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
        write_positions(unwrapped, Path(target))
        if self.processing_class is not None:
            self.processing_class.save_pretrained(target)
        usual_permissions(Path(target))
