"""Packing by groups does what best-fit-decreasing does item by item."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from axolotl.packing.fill import best_fit_bins


def one_by_one(lengths: list[int], capacity: int) -> list[int]:
    """Room left in each bin after packing item by item, longest first."""
    room: list[int] = []
    for length in sorted(lengths, reverse=True):
        fitting = [(left, at) for at, left in enumerate(room) if left >= length]
        if fitting:
            room[min(fitting)[1]] -= length
        else:
            room.append(capacity - length)
    return room


@st.composite
def items(draw: st.DrawFn) -> tuple[list[int], int]:
    capacity = draw(st.integers(1, 60))
    return draw(st.lists(st.integers(1, capacity), max_size=120)), capacity


@settings(deadline=None, derandomize=True, max_examples=400)
@given(items())
def test_the_same_room_is_left_in_the_bins(case: tuple[list[int], int]) -> None:
    lengths, capacity = case
    counts = sorted(Counter(lengths).items(), reverse=True)
    bins = best_fit_bins([n for n, _ in counts], [c for _, c in counts], capacity_tokens=capacity)
    ordered = sorted(lengths, reverse=True)
    assert bins.size == len(ordered)
    filled = np.bincount(bins, weights=ordered) if ordered else np.zeros(0)
    left = sorted(capacity - int(tokens) for tokens in filled)
    assert left == sorted(one_by_one(lengths, capacity))


def test_no_gaps_in_the_numbers_of_the_bins() -> None:
    bins = best_fit_bins([7, 5, 2, 1], [3, 4, 9, 2], capacity_tokens=10)
    assert set(bins.tolist()) == set(range(bins.max() + 1))
