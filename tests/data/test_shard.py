"""A part of the rows: those that the `datasets` library takes, under their own numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

from axolotl.data.encoder import Encoder
from axolotl.data.entries import open_parts
from axolotl.data.prepare import Prepared
from axolotl.data.tokenize import Limits
from axolotl.errors import DataError
from axolotl.reports.preview_rows import preview_rows
from tests.data.conftest import file_of, json_lines

Write = Callable[[str, bytes], str]
Run = Callable[..., Prepared]


@pytest.fixture
def entry(write: Write) -> dict[str, Any]:
    """An entry of two files, with 4,321 rows that are their numbers."""
    rows = [{"text": str(number)} for number in range(4321)]
    write("d/a.jsonl", json_lines(rows[:3000]))
    write("d/b.jsonl", json_lines(rows[3000:]))
    return {"path": "d", "type": "completion"}


def texts(prepared: Prepared, tokenizer: Any) -> list[int]:
    rows = [prepared.train[i].input_ids for i in range(len(prepared.train))]
    return [int(tokenizer.decode(ids, skip_special_tokens=True)) for ids in rows]


@pytest.mark.parametrize(("shards", "seed"), [(10, 42), (10, 7), (4000, 0), (9999, 42)])
def test_the_rows_are_those_of_the_library(
    run: Run, tokenizer: Any, entry: dict[str, Any], shards: int, seed: int
) -> None:
    whole = datasets.Dataset.from_dict({"number": range(4321)}).shuffle(seed=seed)
    expected = whole.shard(min(shards, 4321), 0, contiguous=False)["number"]
    found = texts(run(entry | {"shards": shards}, seed=seed), tokenizer)
    assert found == sorted(expected)


@pytest.mark.parametrize("shards_idx", [0, 3, 9])
def test_shards_idx_says_which_part(
    run: Run, tokenizer: Any, entry: dict[str, Any], shards_idx: int
) -> None:
    whole = datasets.Dataset.from_dict({"number": range(4321)}).shuffle(seed=42)
    expected = whole.shard(10, shards_idx, contiguous=False)["number"]
    part = run(entry | {"shards": 10, "shards_idx": shards_idx})
    assert texts(part, tokenizer) == sorted(expected)
    (reason,) = part.summary.dropped
    assert reason == "left out by `shards: 10" + (
        f", shards_idx: {shards_idx}`" if shards_idx else "`"
    )


def test_every_row_is_in_one_of_the_shards(run: Run, tokenizer: Any, entry: dict[str, Any]) -> None:
    parts = [run(entry | {"shards": 4, "shards_idx": i}) for i in range(4)]
    assert sorted(n for part in parts for n in texts(part, tokenizer)) == list(range(4321))
    assert len({part.summary.key for part in parts}) == 4


def test_one_shard_is_all(run: Run, tokenizer: Any, entry: dict[str, Any]) -> None:
    one = run(entry | {"shards": 1})
    assert texts(one, tokenizer) == list(range(4321))
    assert one.summary.key == run(entry).summary.key


def test_rows_keep_their_numbers(run: Run, tokenizer: Any, entry: dict[str, Any]) -> None:
    prepared = run(entry | {"shards": 10})
    rows = np.load(prepared.summary.folder / "rows.npy")
    numbers = rows["row"] - 1 + 3000 * rows["source"]
    assert numbers.tolist() == texts(prepared, tokenizer)


def test_the_summary_says_what_is_left_out(run: Run, entry: dict[str, Any]) -> None:
    summary = run(entry | {"shards": 10}).summary
    assert (summary.rows_read, summary.rows_kept) == (4321, 433)
    assert summary.dropped == {"left out by `shards: 10`": 3888}
    assert [source["rows_read"] for source in summary.sources] == [3000, 1321]


def test_the_part_is_prepared_by_itself(run: Run, entry: dict[str, Any]) -> None:
    """The number of parts, the seed and all files of the entry decide the rows, so each is in the key."""
    key = run(entry | {"shards": 10}).summary.key
    others = [run(entry).summary.key, run(entry | {"shards": 11}).summary.key]
    others.append(run(entry | {"shards": 10}, seed=1).summary.key)
    assert key not in others
    again = run(entry | {"shards": 10}).summary
    assert (again.key, again.from_cache) == (key, True)


def test_a_bad_row_is_named_by_its_own_number(
    run: Run, entry: dict[str, Any], write: Write
) -> None:
    taken = np.random.default_rng(42).permutation(4321)[::10].min() + 1
    rows = [{"text": str(n)} if n + 1 != taken else {"words": ""} for n in range(4321)]
    write("d/a.jsonl", json_lines(rows[:3000]))
    write("d/b.jsonl", json_lines(rows[3000:]))
    with pytest.raises(DataError, match=rf"a\.jsonl row {taken} \(line {taken}\)"):
        run(entry | {"shards": 10})
    assert run(entry | {"shards": 10}, seed=3).summary.rows_kept == 433, "the bad row is not in it"


def test_a_preview_shows_rows_of_the_part(tokenizer: Any, entry: dict[str, Any]) -> None:
    encoder = Encoder(tokenizer)
    parts = open_parts(file_of(entry | {"shards": 10}), encoder)
    shown = preview_rows(parts, encoder, Limits(99), first_rows=2)
    taken = sorted(np.random.default_rng(42).permutation(4321)[::10] + 1)
    assert [row.source_row for row in shown[:2]] == taken[:2]
    assert shown[0].dataset == str(Path("d/a.jsonl"))


def test_a_preview_of_rows_that_are_tokens(tokenizer: Any, write: Write) -> None:
    row = {"input_ids": [3, 4], "attention_mask": [1, 1], "labels": [3, 4]}
    write("a.jsonl", json_lines([row] * 40))
    encoder = Encoder(tokenizer)
    parts = open_parts(file_of({"path": "a.jsonl", "shards": 4}), encoder)
    shown = preview_rows(parts, encoder, Limits(99), first_rows=3)
    taken = sorted(np.random.default_rng(42).permutation(40)[::4] + 1)
    assert [row.source_row for row in shown] == taken[:3]


@pytest.mark.parametrize("dataset_shard_idx", [0, 1, 2])
def test_a_part_of_the_prepared_rows(
    run: Run, tokenizer: Any, entry: dict[str, Any], dataset_shard_idx: int
) -> None:
    whole = run(entry)
    part = run(entry, dataset_shard_num=3, dataset_shard_idx=dataset_shard_idx, val_set_size=5)
    rows = list(range(4321))[dataset_shard_idx::3]
    assert texts(part, tokenizer) == rows[:-5], "dealt out row by row; its own last rows held out"
    assert part.summary.eval_rows == 5
    assert part.summary.key == whole.summary.key
    assert part.summary.tokens < whole.summary.tokens / 2
    lines = dict(part.summary.lines())
    which = f"dataset_shard_num: 3, dataset_shard_idx: {dataset_shard_idx}"
    assert lines["left to other parts"] == f"{4321 - len(rows):,} ({which})"
    assert lines["rows kept"].startswith(f"{len(rows):,}: ")
    assert "left to other parts" not in dict(whole.summary.lines())


def test_the_parts_of_several_sources_are_cut_from_their_mixture(
    run: Run, tokenizer: Any, write: Write
) -> None:
    entries = []
    for name, rows in (("a.jsonl", range(50)), ("b.jsonl", range(50, 100))):
        write(name, json_lines([{"text": str(n)} for n in rows]))
        entries.append({"path": name, "type": "completion"})
    whole = texts(run(*entries), tokenizer)
    part = texts(run(*entries, dataset_shard_num=4, dataset_shard_idx=1), tokenizer)
    assert part == whole[1::4]


def test_a_part_without_rows(run: Run, write: Write) -> None:
    write("a.jsonl", json_lines([{"text": "1"}, {"text": "2"}]))
    with pytest.raises(DataError, match="2 rows are too few for 3 parts"):
        run({"path": "a.jsonl", "type": "completion"}, dataset_shard_num=3, dataset_shard_idx=2)
