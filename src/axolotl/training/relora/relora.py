"""The restarts of a run, and what they leave on the disk.

Whole weights are needed in two places. A checkpoint after a restart has them in its folder `relora`:
the adapter in it stands on those and no others. And where the base model is quantised, each merge
starts from the weights of the one before. Both are served by one hidden folder in `output_dir` with
the weights of the last merge. Checkpoints share its files by hard links, so that any number between
two restarts takes the room of one, and none needs another: pruning, or a kill at any moment, leaves
each as whole as it was.

On the disk, merged weights are fp32: in half precision most of what a short cycle adds would be lost
to rounding, cycle by cycle. In memory they are quantised from just these numbers, so that a resume
computes with the same bits.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from transformers import TrainerCallback

from axolotl.config.relora import ReloraSection
from axolotl.core.atomic import atomic_folder, disk_faults, usual_permissions
from axolotl.core.console import note
from axolotl.errors import ModelError
from axolotl.models.adapters.saved import RELORA_BASE
from axolotl.models.quiet import no_library_bars
from axolotl.training.checkpoint_files import step_of
from axolotl.training.relora.files import WeightFiles
from axolotl.training.relora.layers import (
    adapted_layers,
    base_state,
    begin_adapter_anew,
    trained_apart,
)
from axolotl.training.relora.optimizer import prune_optimizer, reset_optimizer
from axolotl.training.relora.rate import restarts_before
from axolotl.training.relora.whole import WholeWeights
from axolotl.training.relora.writer import bytes_of, check_room, name_base, share

HIDDEN = ".relora"
"""Folder in `output_dir` with the weights of the last merge."""


class Relora(TrainerCallback):
    """Merges and begins anew at the steps that are due; keeps whole weights in checkpoints.

    Args:
        model: A model of peft with a plain LoRA.
        options: When, and how.
        seed: That of the run.
        run_folder: The run's output folder.
        base_folder: Tells where the base model's files are; asked only if they are needed.
        dtype: dtype of the weights in the result.
        tokenizer: Saved with the result.

    Raises:
        ModelError: the adapter cannot be merged, or the base's whole weights are not there.
    """

    def __init__(
        self,
        model: Any,
        options: ReloraSection,
        *,
        seed: int,
        run_folder: Path,
        base_folder: Callable[[], Path],
        dtype: torch.dtype,
        tokenizer: Any,
    ) -> None:
        assert options.relora_steps
        self.every = options.relora_steps
        self.options = options
        self.model = model
        self.seed = seed
        self.run_folder = run_folder
        self.base_folder = base_folder
        self.dtype = dtype
        self.tokenizer = tokenizer
        self.layers = adapted_layers(model)
        self.merges = 0
        """Restarts that the weights in memory have behind them."""
        self._whole: WholeWeights | None = None
        if any(item.quantised for item in self.layers):
            self._whole = self._opened(WeightFiles(base_folder()))

    # What the loop calls

    def on_step_begin(
        self, args: Any, state: Any, control: Any, optimizer: Any = None, **_: Any
    ) -> None:
        """Restart where one is due."""
        if state.global_step and state.global_step % self.every == 0:
            self.restart(state.global_step, optimizer)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Say with the loss how often the adapter was begun anew."""
        if "loss" in logs:
            logs["num_lora_restarts"] = restarts_before(state.global_step, self.every)

    def restart(self, step: int, optimizer: Any) -> None:
        """Merge the adapter into the base, begin it anew, and have the optimizer forget.

        Args:
            step: Optimizer steps done.
            optimizer: That of the run.
        """
        self.merges = step // self.every
        if self._whole is not None:
            self._merge_quantised(self._whole)
        else:
            self._merge_in_place()
        begin_adapter_anew(self.layers, self.model, seed=self.seed, step=step)
        pruned = self.options.relora_prune_ratio
        if pruned is None:
            reset_optimizer(optimizer)
        else:
            ours = [p for item in self.layers for p in item.parameters()]
            prune_optimizer(optimizer, ours, pruned)
        if _writes():
            note(f"step {step}: the adapter is merged into the model and begun anew")

    # What checkpoints keep

    def save(self, checkpoint: Path, step: int) -> None:
        """Put the weights that the adapter stands on into a checkpoint, if they are not the base's."""
        if not restarts_before(step, self.every):
            return
        if not self._copy.is_dir():
            self._keep_copy()
        share(self._copy, checkpoint / RELORA_BASE)
        name_base(checkpoint, self.run_folder / checkpoint.name / RELORA_BASE)

    def load(self, checkpoint: Path) -> None:
        """Take up the weights that the adapter of a checkpoint stands on.

        Raises:
            ModelError: the checkpoint lacks them.
        """
        merges = restarts_before(step_of(checkpoint), self.every)
        if merges == self.merges:
            return
        folder = checkpoint / RELORA_BASE
        if merges and not folder.is_dir():
            raise ModelError(
                f"'{checkpoint}' lacks the folder {RELORA_BASE}, with the weights that its adapter "
                f"stands on after {merges} restarts",
                where="resume_from_checkpoint",
                hint="name another checkpoint, or start anew",
            )
        self.merges = merges
        if merges and _writes():
            self._remove_copies()
            share(folder, self._copy)
        _wait()
        files = (
            WeightFiles(self._copy, where="resume_from_checkpoint")
            if merges
            else WeightFiles(self.base_folder())
        )
        taken = self._opened(files)
        taken.take()
        self._whole = taken if self._whole is not None else None

    take = load
    """The same for the best checkpoint, at the end of a run."""

    def save_result(self, folder: Path) -> None:
        """Write the model, with the adapter merged into it, as a whole one.

        Args:
            folder: An empty folder.
        """
        base = self.model.get_base_model()
        apart = trained_apart(self.model)
        if _torn_apart(base, apart):
            base.config.tie_word_embeddings = False
        if self._whole is not None:
            self._whole.write(folder, dtype=self.dtype, instead=apart)
        else:
            self._merge_in_place()
            begin_adapter_anew(self.layers, self.model, seed=self.seed, step=-1)
            state = base_state(self.model) | apart
            check_room(folder, bytes_of(state))
            with no_library_bars():
                base.save_pretrained(folder, state_dict=state)
        self.tokenizer.save_pretrained(folder)
        usual_permissions(folder)
        self._remove_copies()

    # How weights are merged

    @torch.no_grad()
    def _merge_in_place(self) -> None:
        for item in self.layers:
            item.put(item.base.weight.float() + item.delta().to(item.base.weight.device))
        if _writes():
            self._remove_copies()

    def _merge_quantised(self, whole: WholeWeights) -> None:
        """Original + delta, from the files of the last merge into those of this one, and in memory."""
        target = self._copy
        if _writes():
            with atomic_folder(target) as work:
                whole.write(work, put=True)
        else:
            whole.merge()
        _wait()  # others may still read the files of the last merge
        whole.files.close()
        if _writes():
            self._remove_copies(but=target)
        self._whole = self._opened(WeightFiles(target))

    def _opened(self, files: WeightFiles) -> WholeWeights:
        on_cpu = self.options.relora_cpu_offload
        return WholeWeights(self.model, self.layers, files, on_cpu=on_cpu)

    # The hidden folder

    @property
    def _copy(self) -> Path:
        return self.run_folder / HIDDEN / f"merge-{self.merges}"

    def _keep_copy(self) -> None:
        """Write the weights below the adapter once between two restarts."""
        base = self.model.get_base_model()
        state = base_state(self.model)
        check_room(self._copy, bytes_of(state))
        with atomic_folder(self._copy) as work, no_library_bars():
            base.save_pretrained(work, state_dict=state)
            usual_permissions(work)

    def _remove_copies(self, *, but: Path | None = None) -> None:
        hidden = self.run_folder / HIDDEN
        with disk_faults(hidden):
            for old in hidden.iterdir() if hidden.is_dir() else ():
                if old != but:
                    shutil.rmtree(old)
            if but is None and hidden.is_dir():
                hidden.rmdir()


def _writes() -> bool:
    """Whether this process is the one that writes."""
    return PartialState().is_main_process


def _wait() -> None:
    PartialState().wait_for_everyone()


def _torn_apart(base: Any, apart: dict[str, torch.Tensor]) -> bool:
    """Whether embeddings and output head were one weight, and were trained apart."""
    if not base.config.tie_word_embeddings:
        return False
    ends = (base.get_input_embeddings(), base.get_output_embeddings())
    names = [f"{name}.weight" for name, module in base.named_modules() if module in ends]
    trained = [apart[name] for name in names if name in apart]
    return bool(trained) and not all(torch.equal(trained[0], other) for other in trained)
