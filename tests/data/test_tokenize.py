"""The array arithmetic against a plain loop over pieces, and the worked examples of the formats."""

from itertools import takewhile
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axolotl.data.encoder import Encoder
from axolotl.data.tokenize import (
    CUT_AWAY,
    NO_TRAINED_TOKEN,
    TOO_LONG,
    TOO_SHORT,
    Limits,
    SegmentBatch,
    TokenRows,
    fit,
    tokenize,
)
from axolotl.formats import bind
from axolotl.records import Segment
from tests.conftest import build_tokenizer

EXCESS: list[Literal["drop", "truncate", "raise"]] = ["drop", "truncate", "raise"]
PIECES = st.builds(
    Segment,
    text=st.sampled_from(["", "Red", "Name three colours.", "Red</s>", "</s>", "<s>Red", "é漢"]),
    train=st.booleans(),
    bos=st.booleans(),
    eos=st.integers(0, 3),
    joined=st.booleans(),
)
TOKENIZERS = {bos: build_tokenizer(bos=bos) for bos in (False, True)}
ENCODERS = {bos: Encoder(tokenizer) for bos, tokenizer in TOKENIZERS.items()}


def plainly(row: list[Segment], bos: bool) -> tuple[list[int], list[int]]:
    """What the arithmetic must come to, one piece after the other."""
    ids: list[int] = []
    labels: list[int] = []
    tokenizer = TOKENIZERS[bos]
    first, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    seen: list[int] = []
    found: Any = None
    begins: list[int] = []
    at = 0
    for number, part in enumerate(row):
        if not (part.joined and number):
            goes_on = takewhile(lambda other: other.joined, row[number + 1 :])
            text = part.text + "".join(other.text for other in goes_on)
            found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
            begins = [start for start, _ in found["offset_mapping"]]
            at, seen = 0, []
        here = range(at, at := at + len(part.text))
        piece = [i for i, b in zip(found["input_ids"], begins, strict=True) if b in here]
        seen = seen + piece
        ending = len(list(takewhile(lambda token: token == end, reversed(seen))))
        front = [first] * (part.bos and bos and piece[:1] not in ([], [first]))
        piece = front + piece + [end] * (max(0, part.eos - ending) if seen else 0)
        ids += piece
        labels += piece if part.train else [-100] * len(piece)
    return ids, labels


def rows_of(rows: TokenRows) -> list[tuple[list[int], list[int]]]:
    spans = [slice(a, b) for a, b in zip(rows.offsets[:-1], rows.offsets[1:], strict=True)]
    return [(rows.input_ids[s].tolist(), rows.labels[s].tolist()) for s in spans]


def tokenized(rows: list[list[Segment]], bos: bool = False) -> TokenRows:
    batch = SegmentBatch()
    for row in rows:
        batch.add(row)
    return tokenize(batch, ENCODERS[bos])[0]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(PIECES, max_size=4), max_size=6), st.booleans())
def test_equal_to_a_loop_over_pieces(rows: list[list[Segment]], bos: bool) -> None:
    found = tokenized(rows, bos)
    assert rows_of(found) == [plainly(row, bos) for row in rows]
    assert found.lengths.tolist() == [len(plainly(row, bos)[0]) for row in rows]
    assert found.input_ids.dtype == found.labels.dtype == np.int32


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.lists(PIECES, max_size=4), max_size=6),
    st.builds(Limits, st.integers(1, 9), st.sampled_from(EXCESS), st.integers(1, 3)),
    st.sampled_from(["drop", "split"]),
)
def test_fitting_loses_nothing_unsaid(
    rows: list[list[Segment]], limits: Limits, long_rows: Literal["drop", "split"]
) -> None:
    whole = tokenized(rows)
    fitted = fit(whole, limits, long_rows=long_rows)
    gone = {i: reason for reason, which in fitted.dropped.items() for i in which.tolist()}
    expected: list[tuple[int, tuple[list[int], list[int]]]] = []
    several, truncated = [], []
    for i, (ids, labels) in enumerate(rows_of(whole)):
        capacity = limits.capacity_tokens
        too_long = len(ids) > capacity
        if useless(labels):
            assert gone.pop(i) == NO_TRAINED_TOKEN
        elif len(ids) < limits.min_tokens:
            assert gone.pop(i) == TOO_SHORT
        elif too_long and long_rows == "drop" and limits.excess != "truncate":
            assert gone.pop(i) == TOO_LONG
        elif too_long and long_rows == "drop" and useless(labels[:capacity]):
            assert gone.pop(i) == CUT_AWAY
        elif too_long and long_rows == "drop":
            truncated.append(i)
            expected.append((i, (ids[:capacity], labels[:capacity])))
        else:
            several += [i] * too_long
            expected += [
                (i, (ids[a : a + capacity], labels[a : a + capacity]))
                for a in range(0, len(ids), capacity)
            ]
    assert not gone
    assert (fitted.several.tolist(), fitted.truncated.tolist()) == (several, truncated)
    found = zip(fitted.rows.origin.tolist(), rows_of(fitted.rows), strict=True)
    assert list(found) == expected


def useless(labels: list[int]) -> bool:
    """Whether nothing is trained: the first token is never predicted."""
    return all(label == -100 for label in labels[1:])


@pytest.mark.parametrize("bos", [False, True])
def test_alpaca_trains_the_answer_and_its_end(bos: bool) -> None:
    row = {"instruction": "Name a colour.", "output": "Red."}
    ((ids, labels),) = rows_of(tokenized([bind("alpaca").segments(row)], bos))
    tokenizer = TOKENIZERS[bos]
    trained = [i for i, label in zip(ids, labels, strict=True) if label != -100]
    assert tokenizer.decode(trained) == "Red.</s>"
    assert tokenizer.decode(ids).startswith("<s>Below" if bos else "Below")
    assert labels[: len(ids) - len(trained)] == [-100] * (len(ids) - len(trained))
    everything = bind("alpaca", shared={"train_on_inputs": True}).segments(row)
    assert rows_of(tokenized([everything], bos)) == [(ids, ids)]


def test_completion_is_cut_with_one_begin_and_one_end() -> None:
    whole = tokenized([bind("completion").segments({"text": "Red, green and blue." * 5})], True)
    kept = fit(whole, Limits(6), long_rows="split").rows
    rows = [ids for ids, _ in rows_of(kept)]
    assert [t for ids in rows for t in ids] == whole.input_ids.tolist()
    assert [len(ids) for ids in rows[:-1]] == [6] * (len(rows) - 1)
    assert [(i, ids.count(1), ids.count(2)) for i, ids in enumerate(rows) if {1, 2} & set(ids)] == [
        (0, 1, 0),
        (len(rows) - 1, 0, 1),
    ]


def test_special_tokens_in_the_text_are_reported() -> None:
    batch = SegmentBatch()
    for text in ("Red", "Red</s> and blue", "", "<pad>"):
        batch.add([Segment("Name", False, bos=True), Segment(text, True, eos=True)])
    _, control = tokenize(batch, ENCODERS[True])
    assert control.tolist() == [1, 3]


def test_which_row_cannot_be_encoded() -> None:
    batch = SegmentBatch()
    batch.add([Segment("a", True)])
    batch.add([])
    batch.add([Segment("a", True), Segment("\ud800", True)])
    assert batch.unencodable_row() == 2
    with pytest.raises(TypeError):
        tokenize(batch, ENCODERS[False])


def test_rows_without_pieces(tokenizer: Any) -> None:
    assert tokenized([]).offsets.tolist() == [0]
    assert tokenized([[], []]).offsets.tolist() == [0, 0, 0]
