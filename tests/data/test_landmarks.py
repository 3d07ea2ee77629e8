"""Landmarks in the data: where they stand, what they count for, and that stores know of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from axolotl.attention.landmark import TOKEN
from axolotl.config import load_config
from axolotl.data.encoder import Encoder
from axolotl.data.landmarks import Blocks, with_landmarks
from axolotl.data.tokenize import TOO_LONG, Limits, TokenRows, fit
from axolotl.errors import ModelError
from axolotl.models.tokenizer import load_tokenizer
from axolotl.resolve import resolve

MARK = 9999
BLOCKS = Blocks(MARK, block_tokens=3)


def rows_of(*lengths: int) -> TokenRows:
    ids = np.arange(sum(lengths), dtype=np.int32)
    return TokenRows(
        ids, ids.copy(), np.concatenate(([0], np.cumsum(lengths))), np.arange(len(lengths))
    )


def as_lists(rows: TokenRows) -> list[list[int]]:
    return [
        rows.input_ids[a:b].tolist()
        for a, b in zip(rows.offsets[:-1], rows.offsets[1:], strict=True)
    ]


def test_a_landmark_stands_behind_every_so_many_tokens_of_each_sample() -> None:
    rows = rows_of(7, 3, 2)
    found = fit(rows, Limits(100, blocks=BLOCKS), long_rows="drop").rows
    assert as_lists(found) == [
        [0, 1, 2, MARK, 3, 4, 5, MARK, 6],
        [7, 8, 9, MARK],
        [10, 11],
    ]
    assert found.labels.tolist() == [-100 if i == MARK else i for i in found.input_ids.tolist()]
    assert found.input_ids.dtype == found.labels.dtype == np.int32


def test_sequence_len_counts_them() -> None:
    for capacity in range(2, 30):
        limits = Limits(capacity, blocks=BLOCKS)
        kept = fit(rows_of(*range(1, 40)), limits, long_rows="drop")
        assert kept.rows.lengths.max() <= capacity
        longest = limits.room_tokens
        assert longest + longest // 3 <= capacity < longest + 1 + (longest + 1) // 3
        assert kept.dropped[TOO_LONG].tolist() == list(range(longest, 39))


@pytest.mark.parametrize("long_rows", ["split", "drop"])
def test_rows_that_are_split_or_cut_are_counted_anew(long_rows: Any) -> None:
    limits = Limits(6, "truncate", blocks=BLOCKS)
    found = as_lists(fit(rows_of(11), limits, long_rows=long_rows).rows)
    pieces = [[0, 1, 2, MARK, 3, 4], [5, 6, 7, MARK, 8, 9], [10]]
    assert found == (pieces if long_rows == "split" else pieces[:1])


def test_landmarks_that_are_there_already_are_kept_and_none_is_doubled() -> None:
    ids = np.array([1, 2, 3, MARK, 4, MARK, 5, 6, 7, 8], np.int32)
    found, labels, offsets = with_landmarks(ids, ids.copy(), np.array([0, 10]), BLOCKS)
    assert found.tolist() == [1, 2, 3, MARK, 4, MARK, 5, 6, 7, MARK, 8]
    assert (labels[found == MARK] == -100).all()
    assert offsets.tolist() == [0, 11]
    again = with_landmarks(found, labels, offsets, BLOCKS)
    assert again[0].tolist() == found.tolist()


def test_the_beginning_of_a_sample_has_the_landmarks_of_the_whole() -> None:
    whole = BLOCKS.into(range(20))
    for length in range(20):
        begin = BLOCKS.into(range(length))
        assert whole[: len(begin)] == begin


def test_without_the_option_keys_of_stores_are_as_before() -> None:
    assert "blocks" not in Limits(9).identity()
    assert Limits(9, blocks=BLOCKS).identity() != Limits(9).identity()
    assert "blocks" not in str(Limits(9, blocks=BLOCKS))


def resolved(folder: Any, **options: Any) -> Any:
    given = {"base_model": str(folder), "datasets": [{"path": "d", "type": "alpaca"}]}
    return resolve(load_config(given | options), purpose="prepare")


def test_the_token_is_added_beside_the_others(tiny_model: Any) -> None:
    options = resolved(tiny_model, landmark_attention=True, special_tokens={"pad_token": "<|pad|>"})
    tokenizer: Any = load_tokenizer(options.model)
    tokenizer.add_special_tokens(
        {"extra_special_tokens": ["<other>"]}, replace_extra_special_tokens=False
    )
    assert [str(token) for token in tokenizer.extra_special_tokens] == [TOKEN, "<other>"]
    assert tokenizer.pad_token == "<|pad|>"
    number = tokenizer.get_vocab()[TOKEN]
    assert tokenizer.decode([number], skip_special_tokens=True) == ""
    assert Blocks.of(options, Encoder(tokenizer)) == Blocks(number, 50)
    assert Blocks.of(resolved(tiny_model), Encoder(tokenizer)) is None


def test_a_tokenizer_without_the_token_is_refused(tiny_model: Any, tokenizer: Any) -> None:
    options = resolved(tiny_model, landmark_attention=True)
    with pytest.raises(ModelError, match="no special token '<landmark>'"):
        Limits.of(options, Encoder(tokenizer))
