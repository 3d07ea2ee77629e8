import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from axolotl.data.split import held_out_rows, split_rows
from axolotl.errors import DataError


@given(st.integers(2, 400), st.floats(0, 0.99), st.integers(0, 9))
def test_every_row_is_in_exactly_one_part(n: int, share: float, seed: int) -> None:
    if held_out_rows(n, share) >= n:
        return
    order = np.random.default_rng(seed).permutation(n)
    train, held_out = split_rows(order, val_set_size=share)
    assert np.array_equal(np.concatenate([train, held_out]), order)


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
        (52_002, 0.05, 2601),
        (3, 0.999999, 3),
    ],
)
def test_a_share_is_rounded_up(count: int, val_set_size: float, rows: int) -> None:
    if rows == count:
        with pytest.raises(DataError, match=f"{rows} of {count} rows would be held out"):
            split_rows(np.arange(count), val_set_size=val_set_size)
        return
    train, held_out = split_rows(np.arange(count), val_set_size=val_set_size)
    assert list(train) == list(range(count - rows))
    assert list(held_out) == list(range(count - rows, count))


def test_a_part_is_dealt_out_row_by_row() -> None:
    order = np.array([4, 8, 1, 0, 7])
    assert [split_rows(order, val_set_size=1, part=(i, 2))[0].tolist() for i in (0, 1)] == [
        [4, 1],
        [8],
    ]
    with pytest.raises(DataError, match="5 rows are too few for 6 parts"):
        split_rows(order, val_set_size=0, part=(5, 6))


@pytest.mark.parametrize("size", [10, 11, 0.99])
def test_nothing_left_to_train_on(size: float) -> None:
    with pytest.raises(DataError, match="of 10 rows would be held out"):
        split_rows(np.arange(10), val_set_size=size)
