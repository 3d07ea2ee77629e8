"""What is said of the rows of each source."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from axolotl.data.counts import LISTED_ROWS, FileCounts, Rows
from axolotl.data.report import common_name, histogram, join_reasons, join_rows, listed, titles
from axolotl.formats import alpaca
from tests.conftest import build_tokenizer
from tests.data.conftest import Prepare, alpaca_rows, json_lines

Write = Callable[[str, bytes], str]


@pytest.fixture
def entries(write: Write) -> list[dict[str, Any]]:
    """A folder of two files, and plain text that is split."""
    rows = alpaca_rows(12)
    rows[2]["output"] = ""
    rows[5]["output"] = "Red. " * 900
    write("d/a.jsonl", json_lines(rows))
    write("d/b.jsonl", json_lines([{"instruction": "a", "output": ""}, *alpaca_rows(3)]))
    text = write("c.txt", b"Blue. " * 300 + b"\nshort\n")
    return [{"path": "d", "type": "alpaca"}, {"path": text, "type": "completion"}]


def test_each_source_has_its_own_counts(run: Prepare, entries: list[dict[str, Any]]) -> None:
    prepared = run(*entries, sequence_len=300)
    folder, text = prepared.summary.by_source
    assert (folder.key, folder.name, folder.format, folder.files) == (
        "datasets.0",
        "d (2 files)",
        "alpaca",
        2,
    )
    assert (folder.rows_read, folder.rows_kept, folder.split.count) == (16, 13, 0)
    assert folder.dropped == {
        "no trained token": Rows(2, (("d/a.jsonl", 3), ("d/b.jsonl", 1))),
        "longer than sequence_len": Rows(1, (("d/a.jsonl", 6),)),
    }
    assert folder.longest_dropped_tokens > 900
    assert (text.name, text.rows_read, text.split) == ("c.txt", 2, Rows(1, (("c.txt", 1),)))
    assert text.dropped == {}
    assert text.trained_tokens == text.tokens - text.rows_kept  # first tokens are not predicted
    assert folder.tokens + text.tokens == prepared.summary.tokens
    lengths = np.sort(prepared.train.lengths)
    assert max(folder.longest_tokens, text.longest_tokens) == lengths[-1] == 300
    assert sum(rows for _, rows in (*folder.lengths, *text.lengths)) == lengths.size
    assert folder.lengths[-1][0] == 300


def test_the_store_says_the_same(run: Prepare, entries: list[dict[str, Any]]) -> None:
    summary = run(*entries, sequence_len=300).summary
    stored = json.loads((summary.folder / "store.json").read_text())["sources"]
    assert stored == json.loads(json.dumps([report.as_dict() for report in summary.by_source]))
    assert stored == json.loads(json.dumps(summary.as_dict()["by_source"], default=str))


def test_the_same_rows_under_other_entries(run: Prepare, write: Write) -> None:
    rows = json_lines(alpaca_rows(4))
    for name in ("d/a.jsonl", "d/b.jsonl"):
        write(name, rows)
    entry = {"path": "d", "type": "alpaca"}
    run(entry)
    two = run(*(entry | {"path": f"d/{name}.jsonl"} for name in "ab")).summary
    assert two.from_cache
    assert [(r.name, r.rows_kept) for r in two.by_source] == [("d/a.jsonl", 4), ("d/b.jsonl", 4)]


def test_a_source_of_which_nothing_is_trained_is_said(
    run: Prepare, entries: list[dict[str, Any]], write: Write
) -> None:
    path = write("e.jsonl", json_lines([{"instruction": "a", "output": ""}] * 2))
    warnings = run(*entries, {"path": path, "type": "alpaca"}).summary.warnings
    assert warnings == (
        "nothing of datasets.2 (e.jsonl) is trained; no trained token: 2 (row 1, 2)",
    )


def test_sources_of_one_name_are_told_apart(run: Prepare, write: Write) -> None:
    path = write("a.jsonl", json_lines(alpaca_rows(4)))
    other = {"path": write("b.jsonl", json_lines(alpaca_rows(4))), "type": "alpaca"}
    plain, chat = {"path": path, "type": "alpaca"}, {"path": path, "type": "alpaca:chat"}

    def called(*entries: dict[str, Any], **options: Any) -> list[str]:
        return list(titles(run(*entries, **options).summary.by_source).values())

    assert called(plain, chat, other) == ["a.jsonl (alpaca)", "a.jsonl (alpaca:chat)", "b.jsonl"]
    assert called(plain, chat, plain) == [f"a.jsonl (datasets.{i})" for i in range(3)]
    assert called(plain, test_datasets=[plain]) == ["a.jsonl", "a.jsonl (evaluated)"]
    assert called(plain, test_datasets=[plain, chat]) == [
        "a.jsonl",
        "a.jsonl (alpaca, evaluated)",
        "a.jsonl (alpaca:chat, evaluated)",
    ]
    weighted = run(plain, chat | {"weight": 2}).summary.weighted
    assert [str(source) for source in weighted] == ["a.jsonl (alpaca:chat) 2 times: 8 of 4"]
    (warning,) = run(plain, chat, val_set_size=2, shuffle_merged_datasets=False).summary.warnings
    assert "no held-out row is of a.jsonl (alpaca): " in warning


def test_what_a_format_remarks_is_counted_and_said(
    run: Prepare, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def remarks(row: dict[str, Any], _options: Any) -> list[str]:
        return ["an input that is short"] if row["input"] else []

    monkeypatch.setattr(alpaca, "remarks", remarks, raising=False)
    rows = [row | {"input": "a" if i in (3, 5) else ""} for i, row in enumerate(alpaca_rows(8))]
    entry = {"path": write("a.jsonl", json_lines(rows)), "type": "alpaca"}
    summary = run(entry, entry).summary
    for report in summary.by_source:
        assert report.remarks == {
            "an input that is short": Rows(2, (("a.jsonl", 4), ("a.jsonl", 6)))
        }
    assert summary.warnings == ("an input that is short: 2 (a.jsonl row 4, 6)",) * 2


@pytest.mark.parametrize("token", ["<|im_end|>", "<'\"\\\n>", "<\u200b>", "▁"])
def test_special_tokens_in_a_row_are_found_whatever_their_letters(
    token: str, run: Prepare, write: Write
) -> None:
    tokenizer = build_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": [token]})
    rows = alpaca_rows(4)
    rows[1]["output"] = f"Red {token} and more"
    entry = {"path": write("a.jsonl", json_lines(rows)), "type": "alpaca:chatml"}
    (report,) = run(entry, tokenizer=tokenizer).summary.by_source
    assert report.control == Rows(1, (("a.jsonl", 2),))


def test_rows_of_a_kind_are_all_counted_and_the_first_listed() -> None:
    counts = FileCounts()
    counts.note("dropped", "too long", [])
    assert counts.groups == {}
    for start in (1, 61, 121):
        counts.note("dropped", "too long", np.arange(start, start + 60))
    counts.note("bad", "no field", [7])
    assert (counts.total("dropped"), counts.total("bad"), counts.total("split")) == (180, 1, 0)
    assert counts.groups["dropped"]["too long"].rows == list(range(1, LISTED_ROWS + 1))
    assert FileCounts.of_dict(json.loads(json.dumps(counts.as_dict()))) == counts


def test_groups_of_several_sources_are_joined() -> None:
    a, b = Rows(60, (("a", 1),) * 60), Rows(70, (("b", 2),) * 70)
    assert join_rows([a, b]) == Rows(130, (("a", 1),) * 60 + (("b", 2),) * 40)
    assert join_reasons([{"x": a}, {"y": b}, {"x": b}]) == {"x": join_rows([a, b]), "y": b}


def test_rows_that_are_bad_in_many_ways_are_not_all_listed() -> None:
    groups = {f"way {i}": Rows(1 + (i == 9), (("a", i),)) for i in range(11)}
    found = dict(listed(groups))
    assert list(found) == [*(f"way {i}" for i in range(7)), "way 9", "3 other reasons"]
    assert found["3 other reasons"] == Rows(3, (("a", 7), ("a", 8), ("a", 10)))
    assert dict(listed({"way": groups["way 1"]})) == {"way": groups["way 1"]}


@pytest.mark.parametrize(
    ("lengths", "capacity", "expected"),
    [
        ([1, 16, 17, 32, 33, 64], 64, ((16, 2), (32, 2), (64, 2))),
        ([50], 50, ((16, 0), (32, 0), (50, 1))),
        ([3, 4], 10, ((10, 2),)),
        ([], 32, ((16, 0), (32, 0))),
    ],
)
def test_bins_of_lengths(
    lengths: list[int], capacity: int, expected: tuple[tuple[int, int], ...]
) -> None:
    assert histogram(np.array(lengths, np.int32), capacity_tokens=capacity) == expected


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["a.jsonl"], "a.jsonl"),
        (["d/a.jsonl", "d/e/b.jsonl"], "d (2 files)"),
        (["a.jsonl", "b.jsonl"], "a.jsonl … (2 files)"),
        (["/d/a.jsonl", "b.jsonl"], "/d/a.jsonl … (2 files)"),
        (["gs://d/e/a.jsonl", "gs://d/e/b.jsonl"], "gs://d/e (2 files)"),
        (["s3://d/a.jsonl", "gs://d/a.jsonl"], "s3://d/a.jsonl … (2 files)"),
    ],
)
def test_the_name_of_a_source(labels: list[str], expected: str) -> None:
    assert common_name(labels) == expected


def test_rows_of_several_files_name_each_file_once() -> None:
    places = (("d/a.jsonl", 4), ("d/a.jsonl", 9), ("d/b.jsonl", 1))
    assert str(Rows(3, places)) == "3 (d/a.jsonl row 4, 9; d/b.jsonl row 1)"
    assert str(Rows(1200, places * 3)) == ("1,200 (d/a.jsonl row 4, 9, 4, 9; d/b.jsonl row 1, …)")
    assert str(Rows(0, ())) == "0"
