"""Samples end to end, with borders that position ids and labels respect."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axolotl.packing.batch import flatten
from axolotl.records import IGNORE_INDEX, TokenRow


def sample(length: int, start: int = 100) -> TokenRow:
    ids = np.arange(start, start + length, dtype=np.int32)
    ids.setflags(write=False)  # as the store hands them out
    return TokenRow(ids, ids)


@settings(deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.none() | st.integers(54, 70))
def test_each_sample_can_be_cut_out_again(lengths: list[int], pad: int | None) -> None:
    rows = [sample(length, 100 * k) for k, length in enumerate(lengths, 1)]
    batch = flatten(rows, pad_to_tokens=pad, pad_token_id=7)
    arrays = (batch.input_ids, batch.position_ids, batch.labels)
    assert [a.dtype for a in arrays] == [np.int64] * 3
    assert [a.shape for a in arrays] == [(pad or sum(lengths),)] * 3
    assert batch.documents == len(rows)
    end = 0
    for row, length in zip(rows, lengths, strict=True):
        ids, positions, labels = (a[end : end + length].tolist() for a in arrays)
        assert ids == row.input_ids.tolist()
        assert positions == list(range(length))
        assert labels == [IGNORE_INDEX, *row.labels.tolist()[1:]]
        end += length
    ids, positions, labels = (a[end:].tolist() for a in arrays)
    assert ids == [7] * len(ids)
    assert positions == [i % max(lengths) for i in range(len(ids))], "none beyond the samples' own"
    assert labels == [IGNORE_INDEX] * len(ids)


def test_no_samples_make_one_token_without_loss() -> None:
    batch = flatten([], pad_token_id=7)
    assert batch.input_ids.tolist() == [7]
    assert batch.position_ids.tolist() == [0]
    assert batch.labels.tolist() == [IGNORE_INDEX]
    assert batch.documents == 0


def test_no_samples_are_padded_too() -> None:
    batch = flatten([], pad_to_tokens=3, pad_token_id=7)
    assert batch.input_ids.tolist() == [7, 7, 7]
    assert batch.position_ids.tolist() == [0, 0, 0]


def test_the_samples_are_not_written_to() -> None:
    row = sample(3)
    flatten([row])
    assert row.labels.tolist() == [100, 101, 102]


def test_a_row_longer_than_its_padding() -> None:
    with pytest.raises(ValueError, match="5 tokens do not fit into a row of 4"):
        flatten([sample(2), sample(3)], pad_to_tokens=4)
