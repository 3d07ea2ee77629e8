"""The loop of transformers' Trainer goes through our rows, also when it resumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Trainer, TrainingArguments

from axolotl.packing.loader import make_loader
from axolotl.packing.plan import PackPlan, plan_packed
from axolotl.packing.sampler import PlanSampler
from axolotl.records import TokenRow

LENGTHS = np.random.default_rng(0).integers(2, 20, 40)
Seen = list[tuple[list[int], float]]


class Samples:
    """Sample `i` is `LENGTHS[i]` times the token `i`; remembers what was read."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def __len__(self) -> int:
        return len(LENGTHS)

    def __getitem__(self, index: int) -> TokenRow:
        self.read.append(index)
        ids = np.full(LENGTHS[index], index, np.int32)
        return TokenRow(ids, ids)


class Recorder(torch.nn.Module):
    """Writes down the samples of each row, and a random number such as dropout would draw."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.seen: Seen = []

    def forward(self, input_ids: Any, position_ids: Any, labels: Any) -> dict[str, Any]:
        starts = position_ids[0] == 0
        self.seen.append((input_ids[0][starts].tolist(), torch.rand(()).item()))
        return {"loss": self.weight**2}


class Loop(Trainer):
    """The library's loop over our loader; evaluation goes through rows of its own."""

    def __init__(self, model: Recorder, samples: Samples, args: TrainingArguments) -> None:
        super().__init__(model=model, args=args, eval_dataset=[{}])  # pyright: ignore[reportArgumentType]
        self.samples = samples

    def get_train_dataloader(self) -> Any:
        return make_loader(self.samples, PlanSampler(plan))

    def evaluate(self, *_args: Any, **_kwargs: Any) -> dict[str, float]:
        rows = sum(1 for _ in make_loader(Samples(), PlanSampler(plan)))
        assert rows == plan(0).steps
        return {"eval_loss": 0.0}


def plan(epoch: int) -> PackPlan:
    return plan_packed(LENGTHS, capacity_tokens=48, seed=0, epoch=epoch)


def train(folder: Path, *, resume: int | None = None) -> tuple[Seen, list[int]]:
    """Three epochs with two rows a step; what the model saw and which samples were read."""
    model, samples = Recorder(), Samples()
    args = TrainingArguments(
        output_dir=str(folder),
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
        num_train_epochs=3,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=2,
        save_strategy="steps",
        save_steps=1,
        eval_strategy="epoch",
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        logging_strategy="no",
    )
    loop = Loop(model, samples, args)
    checkpoint = str(folder / f"checkpoint-{resume}") if resume else None
    loop.train(resume_from_checkpoint=checkpoint)
    return model.seen, samples.read


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Seen]:
    folder = tmp_path_factory.mktemp("whole")
    return folder, train(folder)[0]


def test_every_epoch_has_its_own_rows(whole: tuple[Path, Seen]) -> None:
    rows = [row for row, _ in whole[1]]
    assert rows == [
        plan(epoch).bin(0, step).tolist() for epoch in range(3) for step in range(plan(epoch).steps)
    ]


@pytest.mark.parametrize("where", ["middle of an epoch", "end of an epoch", "just before the end"])
def test_a_resumed_run_sees_the_rest(where: str, whole: tuple[Path, Seen]) -> None:
    folder, seen = whole
    rows = plan(0).steps
    assert rows % 2 == 1  # so that the last step of an epoch has one row only
    per_epoch = (rows + 1) // 2
    step = {"middle of an epoch": per_epoch + 2, "end of an epoch": per_epoch}.get(
        where, 2 * per_epoch - 1
    )
    resumed, read = train(folder, resume=step)
    done = step // per_epoch * rows + step % per_epoch * 2
    assert resumed == seen[done:]
    assert read == [sample for row, _ in seen[done:] for sample in row]
