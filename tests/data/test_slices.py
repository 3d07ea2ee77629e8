"""`train_on_split` names rows of a split, of every kind of source alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from axolotl.data.prepare import Prepared
from axolotl.data.slices import parse_splits
from axolotl.data.sources import find_sources
from axolotl.errors import DataError

Write = Callable[[str, bytes], str]
ROWS = [{"n": i} for i in range(23)]
SPLITS = [
    *("train", "train[:10%]", "train[10%:]", "train[33%:66%]", "train[:3]", "train[5:20]"),
    *("train[-4:]", "train[:-4]", "train[-20%:]", "train[ 1 : 1_5 ]", "train[50%:20]", "train[:]"),
    *("train[6:9]+train[:2]", "train[10:]", "train[9:14]"),
]


@pytest.fixture(params=["one", "three", "parquet", "hub"])
def place(request: Any, write: Write, monkeypatch: pytest.MonkeyPatch) -> str:
    """The rows in one file, in three, or as a data set of the hub."""
    if request.param == "one":
        return write("one.jsonl", lines(ROWS))
    if request.param == "three":
        for i, part in enumerate((ROWS[:9], ROWS[9:10], ROWS[10:])):
            write(f"three/{i}.jsonl", lines(part))
        return "three"
    if request.param == "parquet":
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(ROWS), sink)
        return write("rows.parquet", sink.getvalue().to_pybytes())
    table = datasets.Dataset.from_list(ROWS)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: table)
    return "owner/set"


def lines(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def numbers(path: str, split: str) -> list[int]:
    found = find_sources(path, split=split)
    chunks = [chunk for source in found for chunk in source.chunks()]
    return [row["n"] for c in chunks for row in c.rows if isinstance(row, dict)]


@pytest.mark.parametrize("split", SPLITS)
def test_the_rows_are_those_that_the_library_takes(split: str, place: str) -> None:
    assert numbers(place, split) == by_the_library(split)


def by_the_library(split: str) -> list[int]:
    from datasets.arrow_reader import ReadInstruction

    taken: list[int] = []
    for part in split.replace("_", "").split("+"):
        if "50%:20" in part:  # the library takes no mixture
            taken += range(12, 20)
            continue
        read = ReadInstruction.from_spec(part.replace(" ", ""))
        for piece in read.to_absolute({"train": len(ROWS)}):
            first = 0 if piece.from_ is None else piece.from_
            last = len(ROWS) if piece.to is None else piece.to
            taken += range(first, last)
    return taken


@pytest.mark.parametrize("split", ["train[5:20]", "train[:60%]"])
def test_rows_keep_their_numbers_and_reading_begins_anywhere(split: str, place: str) -> None:
    for source in find_sources(place, split=split):
        whole = [n for chunk in source.chunks() for n in chunk.numbers]
        assert len(whole) == source.count()
        for start in (0, 1, 6, 12, 30):
            chunks = list(source.chunks(start))
            assert all(len(chunk.rows) for chunk in chunks)
            rest = [n for chunk in chunks for n in chunk.numbers]
            assert rest == [n for n in whole if n > start]


def test_the_slice_decides_the_store(run: Callable[..., Prepared], write: Write) -> None:
    name = write("a.jsonl", lines([{"text": f"text {i}"} for i in range(20)]))
    entry = {"path": name, "type": "completion"}
    some = run({**entry, "train_on_split": "train[10%:30%]"})
    assert (some.summary.rows_read, len(some.train)) == (4, 4)
    keys = {
        run({**entry, "train_on_split": split}).summary.key
        for split in ("train", "train[:4]", "train[2:6]", "train[10%:30%]")
    }
    assert len(keys) == 3


def test_shards_of_a_slice(run: Callable[..., Prepared], write: Write) -> None:
    for i in range(2):
        write(f"d/{i}.jsonl", lines([{"text": f"text {i}{j}"} for j in range(10)]))
    entry = {"path": "d", "type": "completion", "train_on_split": "train[5:17]", "shards": 3}
    parts = [run({**entry, "shards_idx": index}) for index in range(3)]
    assert [part.summary.rows_read for part in parts] == [12] * 3
    rows = [p.train[i].input_ids.tolist() for p in parts for i in range(len(p.train))]
    whole = run({key: entry[key] for key in ("path", "type", "train_on_split")})
    assert sorted(rows) == sorted(whole.train[i].input_ids.tolist() for i in range(12))
    assert len(rows) == 12
    left_out = parts[0].summary.dropped_rows["left out by `shards: 3`"]
    assert {(label, row) for label, row in left_out.places} <= {
        *(("d/0.jsonl", row) for row in range(6, 11)),
        *(("d/1.jsonl", row) for row in range(1, 8)),
    }


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("train[", "cannot be read[^$]*train\\[:10%\\]"),
        ("train[1]", "cannot be read"),
        ("train[a:b]", "cannot be read"),
        ("train[:120%]", "cannot be read"),
        ("train+", "cannot be read"),
        ("train[30:40]", "30"),
        ("train[5:5]", "'train\\[5:5\\]'"),
        ("train[-3:-5]", "is none of the 23 rows"),
        ("train[:0%]", "is none of the 23 rows"),
    ],
)
def test_rows_that_are_none(split: str, message: str, place: str) -> None:
    with pytest.raises(DataError, match=message):
        numbers(place, split)


def test_a_slice_beyond_the_end_is_said(place: str, capfd: Any) -> None:
    assert numbers(place, "train[20:40]") == [20, 21, 22]
    assert "'train[20:40]' ends at row 23" in capfd.readouterr().err.replace("\n", " ")


def test_a_split_is_read_as_it_is_written() -> None:
    found = parse_splits("train[:10%] + my.other-split", "datasets.0")
    assert [(part.name, part.whole) for part in found] == [
        ("train", False),
        ("my.other-split", True),
    ]
