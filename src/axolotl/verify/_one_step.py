"""The gradient of one step of the training loop itself, for given rows; alone or with other processes.

As a program it is one process of several: `python -m axolotl.verify._one_step JOB`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import set_seed

from axolotl.attention import Choice
from axolotl.config import load_config
from axolotl.core.console import quiet
from axolotl.data.prepare import Prepared, prepare
from axolotl.models.matmul import choose_route, layer_shapes, use_route
from axolotl.models.tokenizer import load_tokenizer, pad_id
from axolotl.packing.loader import make_loader
from axolotl.resolve import Resolved, resolve
from axolotl.training.assemble import build_trainer
from axolotl.training.data import Plan, plan_training
from axolotl.training.fingerprint import fingerprint
from axolotl.training.model import build_model
from axolotl.training.run_data import PreparedData
from axolotl.training.steps import Steps
from axolotl.training.trackers import Trackers
from axolotl.verify.packing import without_chance

Rows = Sequence[Sequence[int]]
"""Sample numbers, row by row."""
_LEFT_OUT = (
    *("fsdp", "fsdp_config", "deepspeed", "torch_compile", "noisy_embedding_alpha"),
    *("relora_steps", "relora_warmup_steps", "num_epochs", "warmup_steps", "warmup_ratio"),
    *("save_steps", "saves_per_epoch", "eval_steps", "evals_per_epoch", "load_best_model_at_end"),
    *("metric_for_best_model", "early_stopping_patience", "do_bench_eval", "eval_sample_prompts"),
    *("resume_from_checkpoint", "auto_resume_from_checkpoints", "hub_model_id", "optim_args"),
    *("optim_target_modules", "lr_groups", "loraplus_lr_ratio", "loraplus_lr_embedding"),
    *("wandb_project", "use_wandb", "use_tensorboard", "use_mlflow", "dataset_lock"),
)
"""What is about later steps, about the optimizer, or changes by chance."""


@dataclass(frozen=True)
class Step:
    """What one step comes to.

    Args:
        loss: Mean over the trained tokens of all processes.
        gradients: Gradient of each trained weight, on the CPU, by its name.
    """

    loss: float
    gradients: Mapping[str, Tensor]

    @classmethod
    def read(cls, folder: Path) -> Step:
        """What `write` wrote."""
        loss = json.loads((folder / "loss.json").read_text())
        return cls(float(loss), load_file(folder / "gradients.safetensors"))

    def write(self, folder: Path) -> None:
        """Put it into a folder."""
        save_file(dict(self.gradients), folder / "gradients.safetensors")
        (folder / "loss.json").write_text(json.dumps(self.loss))


@dataclass(frozen=True)
class Bench:
    """A training that is ready for its first step, again and again.

    Args:
        resolved: Its configuration, without what a single step has no use for.
        tokenizer: The tokenizer.
        model: The model, with its adapter, and without dropout.
        attention: The attention that fits it.
        prepared: The data.
    """

    resolved: Resolved
    tokenizer: Any
    model: Any
    attention: Choice
    prepared: Prepared

    @classmethod
    def open(cls, given: Mapping[str, Any], output: Path) -> Bench:
        """Prepare the data and open the model, as training does.

        Args:
            given: The options of the file.
            output: A folder for whatever a training writes.
        """
        resolved = resolve(load_config(one_step_options(given, output)), purpose="train")
        tokenizer = load_tokenizer(resolved.model)
        prepared = prepare(resolved, tokenizer=tokenizer)
        set_seed(resolved.training.seed)
        model, attention = build_model(resolved, origin=resolved.origin, tokenizer=tokenizer)
        without_chance(model)
        return cls(resolved, tokenizer, model, attention, prepared)

    def plan(self, rows: Rows | None = None, *, rank: int = 0, world_size: int = 1) -> Plan:
        """The first rows of the training, or given ones, as one step.

        Args:
            rows: Rows of this process.
            rank: Its number.
            world_size: How many there are.
        """
        plan = plan_training(
            self.prepared,
            self.resolved,
            only_max_steps=False,
            isolates=self.attention.isolates,
            rank=rank,
            world_size=world_size,
            pad_token_id=pad_id(self.tokenizer),
        )
        if rows is None:
            return plan
        steps = Steps(len(rows), len(rows), per_epoch=1, total=1, warmup=0, logging=1)
        loader = make_loader(self.prepared.train, _Given(rows))
        layout = replace(plan.rows, accumulation=len(rows))
        return replace(plan, rows=layout, steps=steps, train_loader=loader, eval_loader=None)

    def step(self, rows: Rows, *, rank: int = 0, world_size: int = 1) -> Step:
        """Train one step up to its gradient; the weights stay as they are.

        Args:
            rows: Rows of this process, all of one step.
            rank: Its number.
            world_size: How many there are.
        """
        plan = self.plan(rows, rank=rank, world_size=world_size)
        device = PartialState(cpu=not torch.cuda.is_available()).device or torch.device("cpu")
        route = choose_route(layer_shapes(self.model), device=device)
        kept = _Gradients(self.model)
        data = PreparedData(self.prepared)
        trainer, _ = build_trainer(
            self.resolved,
            plan,
            self.model,
            self.tokenizer,
            fingerprint(self.resolved, data, plan, world_size=world_size),
            resume=None,
            route=route,
            trackers=kept,
            sources=lambda _: [],
        )
        with use_route(route), quiet():  # what a training says of its steps is not asked here
            trainer.train()
        assert kept.found, "the step had no gradient"
        return Step(trainer.counters.train_loss, kept.found)


class _Given:
    """Given rows, in every epoch."""

    def __init__(self, rows: Rows) -> None:
        self._rows = [list(row) for row in rows]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._rows)

    def set_epoch(self, epoch: int) -> None:
        """There is but one."""


class _Gradients(Trackers):
    """Takes the gradients before the optimizer gets them, so that it has nothing to do."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._model = model
        self.found: dict[str, Tensor] = {}

    def on_pre_optimizer_step(  # the arguments are the library's
        self,
        args: Any,  # noqa: ARG002
        state: Any,  # noqa: ARG002
        control: Any,  # noqa: ARG002
        model: Any = None,  # noqa: ARG002
        **_: Any,
    ) -> None:
        """All rows of the step are through, and all processes have exchanged theirs."""
        for name, weight in self._model.named_parameters():
            if weight.grad is not None:
                self.found[name] = weight.grad.detach().float().cpu().clone()
                weight.grad = None


def one_step_options(given: Mapping[str, Any], output: Path) -> dict[str, Any]:
    """The options of a file, for one step that leaves nothing behind.

    Args:
        given: As written.
        output: A folder for whatever a training writes.
    """
    kept = {key: value for key, value in given.items() if key not in _LEFT_OUT}
    return kept | {
        "output_dir": str(output),
        "max_steps": 1,
        "save_strategy": "no",
        "evaluation_strategy": "no",
        "optimizer": "sgd",
        "max_grad_norm": 1e12,  # far from clipping anything; fp16 gradients are scaled back by it
    }


def main(job_file: str) -> None:
    """One process: its rows of the step; the first writes the result.

    Args:
        job_file: JSON: `given`, `rows` of each process, `out`.
    """
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    state = PartialState(cpu=not torch.cuda.is_available())
    rank, world_size = state.process_index, state.num_processes
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench.open(job["given"], Path(folder))
        step = bench.step(job["rows"][rank], rank=rank, world_size=world_size)
    if rank == 0:
        step.write(Path(job["out"]))
    state.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
