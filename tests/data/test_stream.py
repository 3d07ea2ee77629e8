"""An endless stream gives every row once a lap, lane by weight, and goes on from where it stood."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from axolotl.config.load import load_config
from axolotl.data.encoder import Encoder
from axolotl.data.entries import open_parts
from axolotl.data.lanes import open_lanes
from axolotl.data.stream import (
    Lane,
    Position,
    SampleStream,
    position_as_json,
    position_of_json,
)
from axolotl.data.tokenize import Limits
from axolotl.errors import DataError
from axolotl.records import TokenRow
from tests.data.conftest import file_of, json_lines

Write = Callable[[str, bytes], str]
LIMITS = Limits(64)


@pytest.fixture
def make(write: Write, tokenizer: Any) -> Callable[..., SampleStream]:
    """A stream over files of numbered rows: name → how many; `first_row` numbers each in its text."""

    def make_stream(
        position: Position | None = None,
        limits: Limits = LIMITS,
        skip: int = 0,
        bad: int = 0,
        texts: dict[str, list[Any]] | None = None,
        weights: dict[str, float] | None = None,
        **files: int,
    ) -> SampleStream:
        texts = texts or {n: [f"{n}{i}" for i in range(rows)] for n, rows in files.items()}
        encoder = Encoder(tokenizer)
        lanes = []
        for name, rows in texts.items():
            content = json_lines([{"text": text} for text in rows])
            entry = {"path": write(f"{name}.jsonl", content), "type": "completion"}
            parts = open_parts(file_of(entry), encoder)
            lanes.append(Lane(name, parts, (weights or {}).get(name, 1.0), skip))
        return SampleStream(lanes, encoder, limits, position=position, skip_bad_rows=bad)

    return make_stream


def words(rows: list[TokenRow], tokenizer: Any) -> list[str]:
    return [tokenizer.decode(row.input_ids, skip_special_tokens=True) for row in rows]


def test_every_row_comes_once_a_lap_in_order(make: Any, tokenizer: Any) -> None:
    stream = make(a=1200)
    taken = words(stream.take(1200), tokenizer)
    assert taken == [f"a{i}" for i in range(1200)]
    assert words(stream.take(3), tokenizer)[:3] == ["a0", "a1", "a2"]
    assert stream.position[0].lap == 1


def test_lanes_give_rows_by_their_weight(make: Any, tokenizer: Any) -> None:
    stream = make(a=700, b=5000, weights={"a": 1.0, "b": 3.0})
    counts = Counter(word[0] for word in words(stream.take(8000), tokenizer))
    assert counts["b"] / counts["a"] == pytest.approx(3, rel=0.2)


@pytest.mark.parametrize("taken", [1, 501, 999, 2300])
def test_it_goes_on_from_where_it_stood(make: Any, tokenizer: Any, taken: int) -> None:
    whole = make(a=900, b=1300)
    whole.take(taken)
    position = whole.position
    expected = words(whole.take(1500), tokenizer)
    again = make(position_of_json(position_as_json(position)), a=900, b=1300)
    assert words(again.take(1500), tokenizer) == expected
    assert again.position == whole.position


def test_long_texts_are_split_and_nothing_is_lost(make: Any, tokenizer: Any) -> None:
    text = "one two three four five six seven eight nine ten eleven twelve " * 40
    stream = make(texts={"a": [text, "short"]})
    rows = stream.take(1)
    assert max(row.input_ids.size for row in rows) == 64
    assert "".join(words(rows, tokenizer)) == text + "short"
    assert all((row.labels == row.input_ids).all() for row in rows)


def test_rows_at_the_beginning_are_passed_over_in_every_lap(make: Any, tokenizer: Any) -> None:
    stream = make(a=10, skip=7)
    assert words(stream.take(3), tokenizer) == ["a7", "a8", "a9"]
    assert words(stream.take(3), tokenizer) == ["a7", "a8", "a9"]


def test_a_lane_without_a_single_sample_is_an_error(make: Any) -> None:
    stream = make(texts={"a": ["", ""]})
    with pytest.raises(DataError, match="a: no row of it can be trained on"):
        stream.take(1)


def test_dropped_and_bad_rows_are_counted(make: Any, tokenizer: Any) -> None:
    stream = make(texts={"a": ["x", "", 5, "y"]}, bad=1)
    assert words(stream.take(2), tokenizer) == ["x", "y"]
    assert stream.counts.read == 4
    assert stream.counts.lines() == [
        "dropped, no trained token: 1 of 4 rows read",
        "dropped, cannot be used: 'text' is a number (5), not text: 1 of 4 rows read",
    ]
    with pytest.raises(DataError, match=r"a\.jsonl row 3"):
        make(texts={"a": ["x", "", 5, "y"]}).take(2)


def test_a_bad_row_counts_once_however_often_it_is_met(make: Any, tokenizer: Any) -> None:
    texts = {"a": ["x", 5, "y"]}
    stream = make(texts=texts, bad=1)
    assert words(stream.take(20), tokenizer)[:4] == ["x", "y", "x", "y"]
    assert stream.position[0].bad == 1
    again = make(stream.position, texts=texts, bad=1)
    assert len(again.take(6)) >= 6
    first = (replace(stream.position[0], lap=0, row=0),)
    with pytest.raises(DataError, match="one bad row more than the 1"):
        make(first, texts=texts, bad=1).take(2)


def test_what_is_wrong_with_an_entry_of_texts_has_its_own_way_out(
    write: Write, tokenizer: Any
) -> None:
    write("a.jsonl", json_lines([{"text": "a"}] * 3))
    encoder = Encoder(tokenizer)

    def first(**entry: Any) -> DataError:
        source = {"path": "a.jsonl", **entry}
        options = load_config({"base_model": "m", "pretraining_dataset": [source]})
        stream = SampleStream(open_lanes(options, encoder), encoder, LIMITS)
        with pytest.raises(DataError) as caught:
            stream.take(1)
        return caught.value

    assert first(text_column="body").hint == "name the column with the text: `text_column: …`"
    assert first(skip=500).hint == "`skip: 500` may be more rows than it has"
