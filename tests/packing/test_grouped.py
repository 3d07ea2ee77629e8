"""Rows of samples of similar length."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from axolotl.errors import DataError
from axolotl.packing.grouped import plan_grouped
from axolotl.packing.plan import PackPlan, plan_rows


def lengths(count: int) -> np.ndarray:
    return np.random.default_rng(0).lognormal(5, 0.8, count).astype(np.int64) + 1


def rows(plan: PackPlan) -> list[list[int]]:
    steps, ranks = range(plan.steps), range(plan.world_size)
    return [plan.bin(rank, step).tolist() for step in steps for rank in ranks]


def spread(plan: PackPlan, tokens: np.ndarray) -> float:
    """Share of a batch padded to its longest sample that would be padding."""
    sizes = [tokens[row] for row in rows(plan) if row]
    return 1 - tokens.sum() / sum(size.max() * size.size for size in sizes)


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize(("count", "rows_per_batch"), [(1, 1), (2, 3), (7, 2), (96, 4), (1001, 4)])
def test_every_sample_is_in_one_row_and_the_longest_in_the_first(
    count: int, rows_per_batch: int, world_size: int
) -> None:
    tokens = lengths(count)
    plans = [
        plan_grouped(
            tokens, rows_per_batch=rows_per_batch, seed=1, epoch=epoch, world_size=world_size
        )
        for epoch in range(4)
    ]
    for plan in plans:
        assert sorted(sample for row in rows(plan) for sample in row) == list(range(count))
        assert all(len(row) <= rows_per_batch for row in rows(plan))
        first = [sample for rank in range(world_size) for sample in plan.bin(rank, 0).tolist()]
        assert tokens[first].max() == tokens.max()
    other = plan_rows(tokens, rows_per_batch=rows_per_batch, seed=1, epoch=0, world_size=world_size)
    assert {plan.steps for plan in plans} == {other.steps}


def test_samples_of_a_row_and_rows_of_a_step_are_of_similar_length() -> None:
    tokens = lengths(4000)
    options: dict[str, Any] = {"rows_per_batch": 4, "seed": 1, "epoch": 0, "world_size": 2}
    grouped, plain = plan_grouped(tokens, **options), plan_rows(tokens, **options)
    assert spread(grouped, tokens) < 0.03 < 0.4 < spread(plain, tokens)
    steps = [
        [tokens[grouped.bin(rank, step)].sum() for rank in range(2)]
        for step in range(grouped.steps)
    ]
    assert np.mean([max(pair) / min(pair) for pair in steps]) < 1.1


def test_the_order_is_another_in_every_epoch_and_with_every_seed() -> None:
    tokens = lengths(200)

    def plan(seed: int, epoch: int) -> list[list[int]]:
        return rows(plan_grouped(tokens, rows_per_batch=4, seed=seed, epoch=epoch))

    assert plan(1, 0) == plan(1, 0)
    assert len({str(plan(seed, epoch)) for seed in (1, 2) for epoch in (0, 1)}) == 4
    # Not the same rows in another order either.
    assert {tuple(sorted(row)) for row in plan(1, 0)} != {tuple(sorted(row)) for row in plan(1, 1)}
    sizes = [tokens[row].mean() for row in plan(1, 0)[1:]]
    assert abs(np.corrcoef(sizes, range(len(sizes)))[0, 1]) < 0.4, "rows are sorted by length"


def test_empty_samples_are_refused() -> None:
    with pytest.raises(DataError, match="it has 0 tokens"):
        plan_grouped([3, 0], rows_per_batch=1, seed=1, epoch=0)
