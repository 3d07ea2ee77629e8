import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from axolotl.data.split import held_out_rows, split_rows
from axolotl.errors import DataError


@given(st.integers(2, 400), st.floats(0, 0.99), st.integers(0, 9), st.booleans())
def test_every_row_is_in_exactly_one_part(n: int, share: float, seed: int, shuffle: bool) -> None:
    if held_out_rows(n, share) >= n:
        return
    train, held_out = split_rows(n, val_set_size=share, seed=seed, shuffle=shuffle)
    assert sorted([*train, *held_out]) == list(range(n))
    again = split_rows(n, val_set_size=share, seed=seed, shuffle=shuffle)
    assert np.array_equal(train, again[0])
    assert np.array_equal(held_out, again[1])


@pytest.mark.parametrize(
    ("count", "val_set_size", "rows"),
    [
        (420, 40, 40),
        (420, 0.1, 42),
        (100, 0.07, 7),
        (10, 0.01, 1),
        (10, 0, 0),
        (3, 0.5, 2),
        (5, 1, 1),
    ],
)
def test_a_share_is_rounded_up(count: int, val_set_size: float, rows: int) -> None:
    train, held_out = split_rows(count, val_set_size=val_set_size, seed=0, shuffle=False)
    assert list(train) == list(range(count - rows))
    assert list(held_out) == list(range(count - rows, count))


def test_several_datasets_are_mixed_by_the_seed() -> None:
    one, _ = split_rows(50, val_set_size=0, seed=1, shuffle=True)
    two, _ = split_rows(50, val_set_size=0, seed=2, shuffle=True)
    assert list(one) != list(two) != list(range(50))


@pytest.mark.parametrize("size", [10, 11, 0.99])
def test_nothing_left_to_train_on(size: float) -> None:
    with pytest.raises(DataError, match="of 10 rows would be held out"):
        split_rows(10, val_set_size=size, seed=0, shuffle=False)
