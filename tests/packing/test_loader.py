"""Tensors of each row, with and without workers, and after the library has skipped steps."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import skip_first_batches

from axolotl.packing.batch import flatten
from axolotl.packing.loader import Flattener, RowLoader, make_loader
from axolotl.packing.plan import PackPlan, plan_packed, plan_rows
from axolotl.packing.sampler import PlanSampler
from axolotl.records import TokenRow

LENGTHS = np.random.default_rng(0).integers(2, 20, 60)


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


def plan(epoch: int) -> PackPlan:
    return plan_packed(LENGTHS, capacity_tokens=64, seed=0, epoch=epoch)


def samples_of(batch: dict[str, torch.Tensor]) -> list[int]:
    starts = batch["position_ids"][0] == 0
    return batch["input_ids"][0][starts].tolist()


def rows_of(epoch: int) -> list[list[int]]:
    return [plan(epoch).bin(0, step).tolist() for step in range(plan(epoch).steps)]


def trainer_iterates(loader: Any, epoch: int) -> list[list[int]]:
    """An epoch with the calls that transformers' Trainer makes before it."""
    if hasattr(loader, "set_epoch"):
        loader.set_epoch(epoch)
    inner: Any = getattr(getattr(loader, "batch_sampler", None), "batch_sampler", None)
    if hasattr(inner, "set_epoch"):
        inner.set_epoch(epoch)
    return [samples_of(batch) for batch in loader]


def test_batches_are_flattened_rows() -> None:
    samples = Samples()
    loader = make_loader(samples, PlanSampler(plan), pad_to_tokens=64, pad_token_id=99)
    assert len(loader) == plan(0).steps
    for batch, row in zip(loader, rows_of(0), strict=True):
        wanted = flatten([samples[i] for i in row], pad_to_tokens=64, pad_token_id=99)
        assert list(batch) == ["input_ids", "position_ids", "labels"]
        for name, tensor in batch.items():
            assert tensor.dtype == torch.int64
            assert tensor.shape == (1, 64)
            assert tensor[0].tolist() == getattr(wanted, name).tolist()


def test_a_row_without_samples_has_no_loss() -> None:
    def two_ranks(epoch: int) -> PackPlan:
        return plan_rows(LENGTHS[:1], rows_per_batch=1, seed=0, epoch=epoch, world_size=2)

    [batch] = make_loader(Samples(), PlanSampler(two_ranks, rank=1), pad_token_id=5)
    assert {name: tensor.tolist() for name, tensor in batch.items()} == {
        "input_ids": [[5]],
        "position_ids": [[0]],
        "labels": [[-100]],
    }


@pytest.mark.parametrize("workers", [0, 1])
def test_the_library_trains_each_epoch_in_its_own_order(workers: int) -> None:
    loader = make_loader(Samples(), PlanSampler(plan), num_workers=workers)
    for epoch in range(3):
        assert trainer_iterates(loader, epoch) == rows_of(epoch)


@pytest.mark.parametrize("workers", [0, 1])
def test_the_library_skips_steps_after_a_resume(workers: int) -> None:
    samples = Samples()
    loader = make_loader(samples, PlanSampler(plan), num_workers=workers)
    skipping = skip_first_batches(loader, 3)
    assert not isinstance(skipping, RowLoader)
    assert trainer_iterates(skipping, 2) == rows_of(2)[3:]
    assert trainer_iterates(loader, 3) == rows_of(3)
    if workers == 0:
        once = [sample for row in rows_of(2)[3:] for sample in row]
        assert samples.read[: len(once)] == once


@pytest.mark.parametrize("workers", [0, 1])
def test_the_global_generators_are_left_alone(workers: int) -> None:
    loader = make_loader(Samples(), PlanSampler(plan), num_workers=workers)
    before = torch.get_rng_state()
    list(loader)
    list(skip_first_batches(loader, 1))
    assert torch.equal(torch.get_rng_state(), before)


def test_reading_ahead_and_pinning_are_passed_on() -> None:
    loader = make_loader(Samples(), PlanSampler(plan), num_workers=2, pin_memory=True)
    assert (loader.num_workers, loader.pin_memory) == (2, True)
    plain = make_loader(Samples(), PlanSampler(plan))
    assert (plain.num_workers, plain.pin_memory) == (0, False)


def test_what_workers_need_can_be_sent_to_them() -> None:
    flattener = Flattener(pad_to_tokens=4, pad_token_id=1)
    copied = pickle.loads(pickle.dumps(flattener))
    assert copied == flattener
    assert copied([])["input_ids"].tolist() == [[1, 1, 1, 1]]
