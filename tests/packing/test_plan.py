"""Every sample in one row of one process; the same number of rows in every epoch and process."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axolotl.errors import DataError
from axolotl.packing.fill import next_fit_offsets
from axolotl.packing.plan import PackPlan, plan_packed, plan_rows, plan_sequential

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=80)
WORLD = st.integers(1, 9)
proven = settings(deadline=None, derandomize=True, max_examples=200)


def rows_of(plan: PackPlan) -> list[list[int]]:
    """All rows in training order: the first step of every rank, then the second."""
    return [
        plan.bin(rank, step).tolist()
        for step in range(plan.steps)
        for rank in range(plan.world_size)
    ]


def check_ranks(plan: PackPlan, lengths: list[int], world_size: int) -> None:
    """What holds for every plan: a permutation, equal ranks, a row empty only in the last step."""
    rows = rows_of(plan)
    assert sorted(sample for row in rows for sample in row) == list(range(len(lengths)))
    assert len(rows) == plan.bins == plan.steps * world_size
    assert (plan.samples, plan.tokens) == (len(lengths), sum(lengths))
    empty = sum(not row for row in rows)
    assert empty < world_size
    assert all(rows[: len(rows) - empty])
    if empty:
        assert max(len(row) for row in rows[-world_size:]) == 1


def check_one_process(plan: PackPlan, alone: PackPlan) -> None:
    """In every step all processes together have the samples of as many rows of one process."""
    world = plan.world_size
    whole, last = rows_of(alone), alone.bins // world * world
    assert rows_of(plan)[:last] == whole[:last]
    assert [s for row in rows_of(plan)[last:] for s in row] == [s for r in whole[last:] for s in r]


@proven
@given(LENGTHS, st.integers(40, 100), WORLD, st.integers(0, 5), st.integers(0, 3))
def test_packed(lengths: list[int], capacity: int, world: int, seed: int, epoch: int) -> None:
    options: dict[str, Any] = {"capacity_tokens": capacity, "seed": seed, "world_size": world}
    plan = plan_packed(lengths, epoch=epoch, **options)
    check_ranks(plan, lengths, world)
    assert max(sum(lengths[i] for i in row) for row in rows_of(plan)) <= capacity
    assert rows_of(plan) == rows_of(plan_packed(lengths, epoch=epoch, **options))
    later = plan_packed(lengths, epoch=epoch + 1, **options)
    assert later.steps == plan.steps
    assert plan_packed(lengths[::-1], epoch=epoch, **options).steps == plan.steps
    assert plan.efficiency == pytest.approx(sum(lengths) / (plan.bins * capacity))
    check_one_process(plan, plan_packed(lengths, epoch=epoch, **options | {"world_size": 1}))


@proven
@given(LENGTHS, st.integers(1, 10), WORLD, st.booleans(), st.integers(0, 3))
def test_rows(lengths: list[int], size: int, world: int, shuffle: bool, epoch: int) -> None:
    options: dict[str, Any] = {"rows_per_batch": size, "seed": 3, "world_size": world}
    plan = plan_rows(lengths, epoch=epoch, shuffle=shuffle, **options)
    check_ranks(plan, lengths, world)
    sizes = [len(row) for row in rows_of(plan)]
    uncut = -(-len(lengths) // size)
    assert max(sizes) <= size
    assert sum(n == size for n in sizes) >= min(uncut - 1, 2 * uncut - 1 - len(sizes))
    again = plan_rows(lengths, epoch=epoch, shuffle=shuffle, **options)
    assert rows_of(plan) == rows_of(again)
    later = plan_rows(lengths, epoch=epoch + 1, shuffle=shuffle, **options)
    assert [len(row) for row in rows_of(later)] == sizes
    if not shuffle:
        assert plan.indices.tolist() == list(range(len(lengths)))
    alone = plan_rows(lengths, epoch=epoch, shuffle=shuffle, **options | {"world_size": 1})
    check_one_process(plan, alone)


def test_rows_are_full_but_for_the_last() -> None:
    plan = plan_rows([5] * 11, rows_per_batch=4, seed=0, epoch=0)
    assert [len(row) for row in rows_of(plan)] == [4, 4, 3]


@pytest.mark.parametrize("world", [1, 2, 3, 4, 5, 6, 7, 8, 11])
def test_rows_are_cut_before_any_stays_empty(world: int) -> None:
    plan = plan_packed([10] * 7, capacity_tokens=70, seed=0, epoch=0, world_size=world)
    sizes = sorted(len(row) for row in rows_of(plan))
    assert len(sizes) == world
    assert sizes.count(0) == max(0, world - 7)
    if world == 2:
        assert sizes == [3, 4]


def test_only_rows_of_the_last_step_are_cut() -> None:
    plan = plan_rows([1] * 10, rows_per_batch=4, seed=0, epoch=0, world_size=2, shuffle=False)
    assert rows_of(plan) == [[0, 1, 2, 3], [4, 5, 6, 7], [8], [9]]


def test_a_sample_alone_in_the_last_step_leaves_the_others_without() -> None:
    plan = plan_rows([1] * 9, rows_per_batch=4, seed=0, epoch=0, world_size=3, shuffle=False)
    assert rows_of(plan) == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]
    plan = plan_rows([1] * 9, rows_per_batch=4, seed=0, epoch=0, world_size=2, shuffle=False)
    assert rows_of(plan) == [[0, 1, 2, 3], [4, 5, 6, 7], [8], []]


@pytest.mark.parametrize("packed", [True, False])
def test_epochs_and_seeds_bring_other_orders(packed: bool) -> None:
    lengths = np.random.default_rng(0).integers(1, 30, 200)

    def rows(seed: int, epoch: int) -> list[list[int]]:
        if packed:
            return rows_of(plan_packed(lengths, capacity_tokens=64, seed=seed, epoch=epoch))
        return rows_of(plan_rows(lengths, rows_per_batch=3, seed=seed, epoch=epoch))

    first, second, other = rows(0, 0), rows(0, 1), rows(1, 0)
    assert len(first) == len(second) == len(other)
    for changed in (second, other):
        assert changed != first
        together = {frozenset(row) for row in first} & {frozenset(row) for row in changed}
        assert len(together) < len(first) / 4


def test_rows_of_one_length_do_not_stay_together_in_training_order() -> None:
    lengths = np.repeat([100, 50, 25], 200)
    rows = rows_of(plan_packed(lengths, capacity_tokens=100, seed=0, epoch=0))
    kinds = [len(row) for row in rows]
    changes = sum(a != b for a, b in pairwise(kinds))
    assert changes > len(rows) / 3


def test_the_order_of_training_does_not_depend_on_the_number_of_processes() -> None:
    lengths = [7, 3, 9, 2, 8, 5, 5, 6, 1, 4, 9, 9]
    plans = [
        plan_packed(lengths, capacity_tokens=12, seed=5, epoch=1, world_size=world)
        for world in (1, 2, 3)
    ]
    assert plans[0].bins == 6
    assert rows_of(plans[0]) == rows_of(plans[1]) == rows_of(plans[2])


def test_short_samples_fill_rows() -> None:
    generator = np.random.default_rng(0)
    lengths = np.clip(generator.lognormal(np.log(127), 0.5, 50_000), 8, 1024).astype(np.int32)
    plan = plan_packed(lengths, capacity_tokens=4096, seed=0, epoch=0)
    assert plan.efficiency > 0.995
    assert plan.bins <= -(-int(lengths.sum()) // 4096) + 2


def test_a_sample_that_does_not_fit_is_named() -> None:
    with pytest.raises(DataError, match=r"^sample 2: its 65 tokens do not fit into a row of 64"):
        plan_packed([3, 64, 65, 1], capacity_tokens=64, seed=0, epoch=0)


def test_an_empty_sample_is_named() -> None:
    with pytest.raises(DataError, match=r"^sample 1: it has 0 tokens"):
        plan_rows([3, 0], rows_per_batch=2, seed=0, epoch=0)


def test_no_samples_is_an_error() -> None:
    with pytest.raises(DataError, match="no samples"):
        plan_packed([], capacity_tokens=64, seed=0, epoch=0)


def test_lengths_are_whole_numbers() -> None:
    with pytest.raises(TypeError, match="float64"):
        plan_packed([1.5], capacity_tokens=64, seed=0, epoch=0)


def test_a_plan_cannot_be_changed() -> None:
    plan = plan_rows([1, 1], rows_per_batch=2, seed=0, epoch=0)
    with pytest.raises(ValueError, match="read-only"):
        plan.bin(0, 0)[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        plan.offsets[0] = 1
    with pytest.raises(AttributeError, match="world_size"):
        plan.world_size = 2  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(("rank", "step"), [(-1, 0), (2, 0), (0, -1), (0, 2)])
def test_rows_that_do_not_exist(rank: int, step: int) -> None:
    plan = plan_rows([1] * 4, rows_per_batch=1, seed=0, epoch=0, world_size=2)
    with pytest.raises(IndexError, match="2 ranks of 2 steps"):
        plan.bin(rank, step)


@proven
@given(LENGTHS, st.integers(40, 100), WORLD, st.booleans(), st.integers(0, 5), st.integers(0, 12))
def test_sequential(
    lengths: list[int], capacity: int, world: int, shuffle: bool, seed: int, epoch: int
) -> None:
    options: dict[str, Any] = {"capacity_tokens": capacity, "seed": seed, "shuffle": shuffle}
    plan = plan_sequential(lengths, epoch=epoch, world_size=world, **options)
    check_ranks(plan, lengths, world)
    assert max(sum(lengths[i] for i in row) for row in rows_of(plan)) <= capacity
    again = plan_sequential(lengths, epoch=epoch, world_size=world, **options)
    assert rows_of(plan) == rows_of(again)
    for other in (0, epoch + 1):
        later = plan_sequential(lengths, epoch=other, world_size=world, **options)
        assert later.steps == plan.steps
    alone = plan_sequential(lengths, epoch=epoch, **options)
    check_one_process(plan, alone)
    if not shuffle:
        assert plan.indices.tolist() == list(range(len(lengths)))


def test_rows_in_order_are_full_until_the_next_sample_does_not_fit() -> None:
    lengths = np.random.default_rng(1).integers(1, 40, 500)
    plan = plan_sequential(lengths, capacity_tokens=64, seed=0, epoch=0, shuffle=False)
    rows = rows_of(plan)
    for row, following in pairwise(rows):
        assert lengths[row].sum() + lengths[following[0]] > 64
    assert plan.indices.tolist() == list(range(500))


def test_two_processes_share_rows_in_order_out() -> None:
    lengths = [6, 4, 4, 5, 2, 9, 3, 3, 3]
    options: dict[str, Any] = {"capacity_tokens": 10, "seed": 0, "epoch": 0, "shuffle": False}
    one = plan_sequential(lengths, **options)
    two = plan_sequential(lengths, world_size=2, **options)
    assert rows_of(one) == [[0, 1], [2, 3], [4], [5], [6, 7, 8]]
    assert rows_of(two) == [[0, 1], [2, 3], [4], [5], [6, 7], [8]]
    assert [two.bin(1, step).tolist() for step in range(two.steps)] == [[2, 3], [5], [8]]


def test_shuffled_epochs_differ_in_order_and_not_in_number() -> None:
    lengths = np.random.default_rng(2).integers(1, 40, 300)
    counts, orders = set[int](), set[tuple[int, ...]]()
    uncut = set[int]()
    for epoch in range(30):
        plan = plan_sequential(lengths, capacity_tokens=64, seed=5, epoch=epoch)
        counts.add(plan.steps)
        orders.add(tuple(plan.indices.tolist()))
        uncut.add(next_fit_offsets(lengths[plan.indices], capacity_tokens=64).size - 1)
    assert len(counts) == 1
    assert len(orders) == 30
    assert len(uncut) > 3, "no epoch needed fewer rows, so nothing was shown"
    assert max(uncut) == counts.pop()
