"""Shuffles are drawn from numbers alone, and evenly."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from axolotl.packing.shuffle import ROWS, SAMPLES, permutation


@pytest.mark.parametrize("count", [0, 1, 2, 1000])
def test_every_number_once(count: int) -> None:
    order = permutation(count, seed=1, epoch=2)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(count))


@pytest.mark.parametrize("seed", [0, -1, 2**63, -(2**70)])
def test_any_integer_is_a_seed(seed: int) -> None:
    first, again = (permutation(50, seed=seed, epoch=0).tolist() for _ in range(2))
    assert first == again != list(range(50))


def test_seed_epoch_and_purpose_each_change_the_order() -> None:
    orders = [
        permutation(50, seed=seed, epoch=epoch, what=what).tolist()
        for seed in (0, 1)
        for epoch in (0, 1)
        for what in (SAMPLES, ROWS)
    ]
    assert len({tuple(order) for order in orders}) == 8


def test_no_order_is_preferred() -> None:
    seen = Counter(tuple(permutation(4, seed=7, epoch=epoch).tolist()) for epoch in range(4800))
    assert len(seen) == 24
    # 200 expected of each, with a standard deviation of 14
    assert all(130 < times < 270 for times in seen.values())


def test_the_global_generator_is_left_alone() -> None:
    before = np.random.get_state(legacy=False)["state"]["pos"]
    permutation(100, seed=0, epoch=0)
    assert np.random.get_state(legacy=False)["state"]["pos"] == before
