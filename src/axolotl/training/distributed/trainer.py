"""A Trainer whose model may be spread over several processes, and whose checkpoints then hold it.

What is replaced of the library's, and why:
- FSDP is turned on for processes without GPUs too, and seen to be on; else the library runs DDP;
- weights are gathered and written as safetensors, and never as pickles beside them.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from peft import PeftModel
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from transformers import Trainer

from axolotl.errors import EnvironmentFault, ModelError
from axolotl.models.patches.deepspeed_on_cpu import exchange_by_gloo
from axolotl.models.patches.fsdp_on_cpu import fsdp_on_cpu
from axolotl.models.quiet import without_lines
from axolotl.training.distributed.deepspeed import compiler_faults, gathered_zero3, put_zero3
from axolotl.training.distributed.fsdp import SYNC
from axolotl.training.distributed.parts import is_sharded
from axolotl.training.distributed.shards import (
    MODEL_SHARDS,
    OPTIMIZER_SHARDS,
    names_in,
    read_shards,
    write_shards,
)
from axolotl.training.distributed.spread import Spread, method_of
from axolotl.training.distributed.universal import count_steps_apart, dealt_anew
from axolotl.training.distributed.whole import (
    WHOLE,
    gathered,
    parts,
    put_parts,
    read_whole,
    take_whole,
)

_FLAT = StateDictOptions(flatten_optimizer_state_dict=True)
_OPTIMIZER, _SCHEDULER = "optimizer.pt", "scheduler.pt"


class ShardedTrainer(Trainer):
    """A Trainer that knows FSDP."""

    is_fsdp_enabled: bool
    is_deepspeed_enabled: bool
    spread: Spread | None = None
    """How the run was to be spread; a training that came to something else does not begin."""

    def create_accelerator_and_postprocess(self) -> None:
        """As the library's, with FSDP on CPUs as well."""
        with fsdp_on_cpu() if self.args.fsdp else nullcontext():
            super().create_accelerator_and_postprocess()

    def _prepare_for_training(
        self, max_steps: int, train_dataloader: Any, resume_from_checkpoint: str | None
    ) -> Any:
        """As the library's; a model that is not cut up in spite of all is refused.

        Raises:
            EnvironmentFault: each process holds the whole model, or another part than asked for.
        """
        details: Any = self.args.fsdp_config
        if self.args.fsdp and details[SYNC]:
            _take_weights_of_first(self.model)
        by_gloo = self.is_deepspeed_enabled and self.args.use_cpu
        with (
            exchange_by_gloo() if by_gloo else nullcontext(),
            compiler_faults(),
            # Gradients are accumulated as the loop says; DeepSpeed is told so at each row.
            without_lines("accelerate.accelerator", "Gradient accumulation steps mismatch"),
            self._read_by_all(resume_from_checkpoint),
        ):
            prepared = super()._prepare_for_training(
                max_steps, train_dataloader, resume_from_checkpoint
            )
        if self.zero_stage == 3 and resume_from_checkpoint is not None:
            count_steps_apart(self.optimizer)
        model: Any = self.model
        if self.args.fsdp and not (self.is_fsdp_enabled and is_sharded(model)):
            raise EnvironmentFault(
                "each process holds the whole model: the installed accelerate and torch do not "
                "cut it up",
                where="fsdp",
                hint="pip install -c constraints.txt accelerate, or remove fsdp",
            )
        if self.spread is not None:
            state: Any = self.accelerator.state
            reshards = not self.is_fsdp_enabled or bool(state.fsdp_plugin.reshard_after_forward)
            self.spread.check(method_of(self.model_wrapped, reshards=reshards))
        return prepared

    def _read_by_all(self, checkpoint: str | None) -> AbstractContextManager[None]:
        """See `universal.dealt_anew`."""
        if checkpoint is None or not self.is_deepspeed_enabled:
            return nullcontext()
        state: Any = self.accelerator.state
        return dealt_anew(Path(checkpoint), state.deepspeed_plugin.deepspeed_config)

    @property
    def cuts_weights(self) -> bool:
        """Whether each process holds a part of each weight alone."""
        return self.is_fsdp_enabled or self.zero_stage == 3

    @property
    def zero_stage(self) -> int:
        """How much DeepSpeed cuts up; 0 without it."""
        if not self.is_deepspeed_enabled:
            return 0
        state: Any = self.accelerator.state
        return int(state.deepspeed_plugin.zero_stage)

    def any_part(self, found: bool) -> bool:
        """Whether something was found in one of the parts of the weights; all processes must ask."""
        if not self.cuts_weights:
            return found
        flag = torch.tensor(float(found), device=self.args.device)
        dist.all_reduce(flag, dist.ReduceOp.MAX)
        return bool(flag)

    def gathered(self) -> dict[str, torch.Tensor]:
        """What is to be saved, whole, on the first process; asked for on every process."""
        if self.zero_stage == 3:
            return gathered_zero3(self.model, only_trained=isinstance(self.model, PeftModel))
        return gathered(self.model)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write the weights, gathered where they are cut up; on every process."""
        if not self.cuts_weights:
            self._save(output_dir)
            return
        if _internal_call and self.saves_in_parts:
            self._save_around(Path(str(output_dir)))
            write_shards(parts(self.model), Path(str(output_dir)) / MODEL_SHARDS)
            return
        self._save(output_dir, state_dict=self.gathered())

    @property
    def saves_in_parts(self) -> bool:
        """Whether each process writes its part of a checkpoint; a result is always whole."""
        state: Any = self.accelerator.state
        kind = state.fsdp_plugin.state_dict_type if self.is_fsdp_enabled else ""
        return "SHARDED" in str(kind)

    def _save_around(self, folder: Path) -> None:
        """What stands beside the weights of a checkpoint."""
        if not self.args.should_save:
            return
        folder.mkdir(parents=True, exist_ok=True)
        model: Any = self.model
        if isinstance(model, PeftModel):
            model.peft_config["default"].save_pretrained(str(folder))
        else:
            model.config.save_pretrained(str(folder))
        if self.processing_class is not None:
            self.processing_class.save_pretrained(str(folder))

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not self.is_fsdp_enabled:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        model, optimizer = self._pair()
        if self.saves_in_parts:
            flat = get_optimizer_state_dict(model, optimizer, options=_FLAT)
            write_shards(flat, Path(output_dir) / OPTIMIZER_SHARDS)
        else:
            state = get_optimizer_state_dict(model, optimizer, options=WHOLE)
            if self.args.should_save:
                torch.save(state, Path(output_dir) / _OPTIMIZER)
        if self.args.should_save:
            schedule: Any = self.lr_scheduler
            torch.save(schedule.state_dict(), Path(output_dir) / _SCHEDULER)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        folder = Path(resume_from_checkpoint)
        if self.zero_stage == 3:
            put_zero3(self.model, read_whole(self.model, folder) if dist.get_rank() == 0 else {})
            return
        if not self.is_fsdp_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        if not (folder / MODEL_SHARDS).is_dir():
            wrong = take_whole(self.model, folder)
        else:
            state = parts(self.model)
            wrong = sorted(state.keys() ^ names_in(folder / MODEL_SHARDS))
            if not wrong:
                put_parts(self.model, read_shards(state, folder / MODEL_SHARDS))
        if wrong:
            raise misfit(wrong)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None or not self.is_fsdp_enabled:
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        model, optimizer = self._pair()
        folder = Path(checkpoint)
        if (folder / OPTIMIZER_SHARDS).is_dir():
            flat = get_optimizer_state_dict(model, optimizer, options=_FLAT)
            flat = read_shards(flat, folder / OPTIMIZER_SHARDS)
            set_optimizer_state_dict(model, optimizer, flat, options=_FLAT)
        else:
            state: dict[str, Any] = {}
            if dist.get_rank() == 0:
                state = torch.load(folder / _OPTIMIZER, map_location="cpu", weights_only=True)
            set_optimizer_state_dict(model, optimizer, state, options=WHOLE)
        schedule: Any = self.lr_scheduler
        schedule.load_state_dict(torch.load(folder / _SCHEDULER, weights_only=True))

    def _pair(self) -> tuple[Any, Any]:
        """Model and optimizer, as torch knows them."""
        optimizer: Any = self.optimizer
        return self.model, getattr(optimizer, "optimizer", optimizer)


def _take_weights_of_first(model: Any) -> None:
    """Give all processes the weights of the first, while each still holds all of them."""
    with torch.no_grad():
        for value in (*model.parameters(), *model.buffers()):
            dist.broadcast(value.detach(), src=0)


def misfit(wrong: list[str]) -> ModelError:
    """What to say of a checkpoint that lacks weights, or has others."""
    return ModelError(
        f"the checkpoint does not fit the model: {len(wrong)} weights, such as {wrong[0]}",
        where="resume_from_checkpoint",
        hint="resume with the base_model and adapter options that it was written with",
    )
