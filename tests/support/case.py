"""A row of the support table: a tiny random model of one architecture, its data, and trainings on it.

Everything goes the road of a user: options, rules, prepared data, loading, the trainer. Only what
writes the result into the output folder is left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from peft.tuners.lora.layer import ParamWrapper
from transformers import set_seed

from axolotl import api
from axolotl.data.prepare import prepare
from axolotl.errors import AxolotlError
from axolotl.models.isolation import row_arguments
from axolotl.models.quiet import no_library_bars
from axolotl.models.tiny import tiny_model
from axolotl.training.callbacks.metrics import read_metrics
from axolotl.training.data import plan_training
from axolotl.training.loss import RowLoss, label_count
from axolotl.training.model import build_model
from axolotl.training.precision import formats
from axolotl.training.run import Trained, run_training
from tests.conftest import build_tokenizer
from tests.gptq_writer import Recipe, write_gptq
from tests.support.rows import rows

STEPS = 3
OWN_LENGTH = 64
"""Positions of the model whose rotary positions are stretched."""
TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "Name three colours: red, green and blue.",
    "0123456789 times; is that so? Yes!",
    "Write a response that completes the request, red and lazy.",
]
State = Literal["runs", "needs", "refused", "fault"]
LORA: Mapping[str, Any] = {
    "adapter": "lora",
    "lora_r": 4,
    "lora_target_linear": True,
    "learning_rate": 2e-2,  # what is learnt has to show through the dropout that some models have
}


@dataclass(frozen=True)
class Outcome:
    """What became of a cell.

    Args:
        state: `runs`; `needs` a GPU or a package that is not here; `refused`; or `fault`, where it
            fails or has no effect.
        said: What was seen of it, or the reason.
    """

    state: State
    said: str


class Case:
    """One row.

    Args:
        name: Its name, one of `rows()`.
        folder: Where models, data and runs are put; a sub-folder of its own is made.
        data: Folder of the data and their store, which all rows share.
    """

    def __init__(self, name: str, folder: Path, data: Path) -> None:
        row = rows()[name]
        self.facts, self.model_type, self.changes = row.facts, row.model_type, row.changes
        self.folder = folder / name.replace(", ", "-").replace(" ", "-")
        self.data = data
        self._runs = 0

    @cached_property
    def model(self) -> Any:
        """The random model; to be looked at only."""
        return tiny_model(self.model_type, changes=self.changes)

    @cached_property
    def base(self) -> Path:
        """The folder that it is saved in, with its tokenizer."""
        return self._saved(self.model, "base")

    @cached_property
    def packed(self) -> Path:
        """The same, quantised by GPTQ."""
        place = self.folder / "gptq"
        head = self.model.get_output_embeddings()

        def fits(path: str) -> bool:
            """Words of 32 bits hold 8 outputs each; a router has fewer."""
            layer = self.model.get_submodule(path)
            return layer is not head and layer.weight.shape[0] % 8 == 0

        write_gptq(
            self.model,
            place,
            Recipe(group_size=32),
            chosen=fits,
            tokenizer=build_tokenizer(),
        )
        return place

    @cached_property
    def short(self) -> Path:
        """A model with positions for few tokens, to be stretched."""
        changes = {**self.changes, "max_position_embeddings": OWN_LENGTH}
        return self._saved(tiny_model(self.model_type, changes=changes), "short")

    def _saved(self, model: Any, name: str) -> Path:
        place = self.folder / name
        with no_library_bars():
            model.save_pretrained(place)
        build_tokenizer().save_pretrained(place)
        return place

    def options(self, **changes: Any) -> dict[str, Any]:
        """A file whose every step sees the same samples, whatever the layout of rows."""
        self.data.mkdir(parents=True, exist_ok=True)
        file = self.data / "rows.jsonl"
        if not file.exists():
            file.write_text("".join(json.dumps({"text": t}) + "\n" for t in TEXTS), "utf-8")
        self._runs += 1
        return {
            "base_model": str(self.base),
            "datasets": [{"path": str(file), "type": "completion"}],
            "dataset_prepared_path": str(self.data / "store"),
            "val_set_size": 0,
            "sequence_len": OWN_LENGTH,
            "sample_packing": True,
            "micro_batch_size": len(TEXTS),
            "max_steps": STEPS,
            "learning_rate": 5e-3,
            "lr_scheduler": "constant",
            "warmup_steps": 0,
            "logging_steps": 1,
            "save_strategy": "no",
            "output_dir": str(self.folder / f"run-{self._runs}"),
        } | changes

    def run(self, **changes: Any) -> tuple[Trained, list[float]]:
        """A training as the command does it, but for the files of the result; the loss falls."""
        options = self.options(**changes)
        Path(options["output_dir"]).mkdir(parents=True)
        done = run_training(api.resolved(options, purpose="train"), on_start=lambda: None)
        lines = read_metrics(Path(options["output_dir"]) / "metrics.jsonl")
        losses = [line["loss"] for line in lines if line.get("loss") is not None]
        _falls(losses, options["max_steps"])
        return done, losses

    def learn(self, **changes: Any) -> tuple[Any, list[float]]:
        """Some steps on the model and the rows that a training begins with; the loss falls.

        Without the trainer, which `run` shows for each architecture, this takes a quarter of the time.
        """
        resolved = api.resolved(self.options(**changes), purpose="train")
        set_seed(resolved.training.seed)
        tokenizer = api.load_tokenizer(resolved)
        model, attention = build_model(resolved, origin=resolved.origin, tokenizer=tokenizer)
        loader = plan_training(
            prepare(resolved, tokenizer=tokenizer),
            resolved,
            only_max_steps=True,
            isolates=attention.isolates,
            rank=0,
            world_size=1,
            pad_token_id=0,
        ).train_loader
        half = formats(resolved.precision, gpu=False).autocast
        row_loss = RowLoss(
            model, autocast=lambda: torch.autocast("cpu", dtype=half, enabled=half is not None)
        )
        rows = list(loader)
        labels = sum(label_count(row) for row in rows)
        rate = resolved.optimizer.learning_rate
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate)
        losses: list[float] = []
        for _ in range(STEPS):
            optimizer.zero_grad()
            losses.append(0.0)
            for row in rows:
                loss = row_loss(model, row) / labels
                loss.backward()
                losses[-1] += loss.item()
            optimizer.step()
        _falls(losses, STEPS)
        return model, losses

    @cached_property
    def whole(self) -> tuple[Any, list[float]]:
        """All weights trained in fp32, which others are held against."""
        return self.learn()

    @cached_property
    def linear_layers(self) -> int:
        """How many layers LoRA is put on."""
        return len(self._adapted)

    @cached_property
    def _adapted(self) -> dict[str, Any]:
        return lora_layers(api.load_model(self.options(**LORA)))

    def refusal(self, error: AxolotlError) -> str:
        """Why something is refused, without where the model happens to be."""
        problems = getattr(error, "problems", [error])
        said = "; ".join(problem.what for problem in problems)
        for place in (self.folder / "base", self.folder / "gptq", self.folder / "short"):
            said = said.replace(str(place), self.model_type)
        return " ".join(said.split())


def _falls(losses: list[float], steps: int) -> None:
    assert len(losses) == steps, losses
    assert torch.tensor(losses).isfinite().all(), losses
    assert losses[-1] < losses[0], losses


def lora_layers(model: Any) -> dict[str, Any]:
    """The linear layers with an adapter, by their path; experts that are one tensor are none."""
    return {
        path: module
        for path, module in model.named_modules()
        if hasattr(module, "lora_A") and not isinstance(module, ParamWrapper)
    }


def logits_of(model: Any, tokens: int) -> torch.Tensor:
    """Logits of one sample of random tokens, (T, V), fp32."""
    ids = torch.randint(3, 400, (1, tokens), generator=torch.Generator().manual_seed(0))
    model.eval()
    with torch.no_grad():
        return model(**row_arguments(model, ids, torch.arange(tokens)[None])).logits[0].float()
