"""Rows of one process, in any epoch, from any step."""

from __future__ import annotations

import pytest

from axolotl.packing.plan import PackPlan, plan_packed
from axolotl.packing.sampler import PlanSampler

LENGTHS = [7, 3, 9, 2, 8, 5, 5, 6, 1, 4, 9, 9]


def plan(epoch: int) -> PackPlan:
    return plan_packed(LENGTHS, capacity_tokens=12, seed=0, epoch=epoch, world_size=2)


def expected(epoch: int, rank: int = 0) -> list[list[int]]:
    return [plan(epoch).bin(rank, step).tolist() for step in range(plan(epoch).steps)]


def test_goes_through_the_rows_of_its_rank() -> None:
    for rank in range(2):
        sampler = PlanSampler(plan, rank=rank)
        assert list(sampler) == expected(0, rank)
        sampler.set_epoch(3)
        assert sampler.epoch == 3
        assert list(sampler) == list(sampler) == expected(3, rank)
        assert len(sampler) == 3
    assert expected(0, 0) != expected(3, 0)


def test_an_iteration_keeps_the_epoch_in_which_it_was_begun() -> None:
    sampler = PlanSampler(plan)
    begun = iter(sampler)
    sampler.set_epoch(1)
    assert list(begun) == expected(0)


def test_a_plan_is_made_once_per_epoch() -> None:
    made: list[int] = []

    def counting(epoch: int) -> PackPlan:
        made.append(epoch)
        return plan(epoch)

    sampler = PlanSampler(counting)
    assert made == []
    for epoch in (0, 1, 2):
        sampler.set_epoch(epoch)
        assert len(sampler) == len(list(sampler)) == len(list(sampler))
    assert made == [0, 1, 2]


def test_a_rank_beyond_the_plan() -> None:
    with pytest.raises(IndexError, match="rank 2"):
        list(PlanSampler(plan, rank=2))
