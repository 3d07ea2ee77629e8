import json
from pathlib import Path
from typing import Any

import pytest

from axolotl.config.load import load_config
from axolotl.data.encoder import Encoder
from axolotl.errors import DataError
from axolotl.records import Segment
from axolotl.reports.preview import as_document, summary_line
from axolotl.reports.preview_rows import all_parts, segment_numbers
from tests.reports.conftest import Shown
from tests.reports.test_preview import ALPACA, LONG, ROWS


def test_files_to_train_on_stand_before_those_to_evaluate_on(
    tokenizer: Any, tmp_path: Path
) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(ROWS[0]) + "\n", "utf-8")
    entry = {"path": str(tmp_path / "a.jsonl"), "type": "alpaca"}
    text = {"path": str(tmp_path / "a.jsonl"), "text_column": "output"}
    tests = {"test_datasets": [entry]}

    def keys(**options: Any) -> list[tuple[str, str | None]]:
        parts = all_parts(load_config({"base_model": "m", **options}), Encoder(tokenizer))
        return [(part.key, part.bound.type if part.bound else None) for part in parts]

    assert keys(datasets=[entry], **tests) == [
        ("datasets.0", "alpaca"),
        ("test_datasets.0", "alpaca"),
    ]
    assert keys(pretraining_dataset=[text]) == [("pretraining_dataset.0", "completion")]


def test_a_bad_row_is_shown_with_what_is_wrong(shown: Shown, tokenizer: Any) -> None:
    bad = {"instruction": "a"}
    rows = shown(tokenizer, ("a.jsonl", [ROWS[0], bad, *ROWS], "alpaca"))
    assert [row.source_row for row in rows] == [1, 2, 3, 4, 5]
    assert [row.fate for row in rows] == [None, "bad", None, "dropped", None]
    found = rows[1]
    assert found.bad is not None
    assert found.bad.where == f"{found.dataset} row 2 (line 2)"
    assert "no field 'output'" in found.bad.what
    assert found.row == bad, "the row itself is there to look at"
    assert ", 1 bad" in summary_line(rows)
    assert "row 2 (line 2): no field 'output'" in as_document(rows)["rows"][1]["bad"]
    assert len(shown(tokenizer, ("a.jsonl", [ROWS[0], bad], "alpaca"), first_rows=1)) == 1


def test_nothing_but_bad_rows_is_an_error(shown: Shown, tokenizer: Any) -> None:
    with pytest.raises(DataError, match=r"a\.jsonl row 1 \(line 1\): no field 'output'"):
        shown(tokenizer, ("a.jsonl", [{"instruction": "a"}] * 2, "alpaca"))


def test_a_file_that_cannot_be_read_leaves_the_others(shown: Shown, tokenizer: Any) -> None:
    rows = shown(tokenizer, ("b.jsonl", ["no object"], "alpaca"), ALPACA)
    bad = [row for row in rows if row.bad]
    assert len(bad) == 1
    assert bad[0].dataset.endswith("b.jsonl")
    assert len(rows) == 4


def test_one_row_alone(shown: Shown, tokenizer: Any) -> None:
    rows = shown(tokenizer, ALPACA, LONG, first_rows=1, start_row=2)
    assert [(row.source_row, row.row) for row in rows] == [(3, ROWS[2])]


def test_what_a_format_has_to_say_of_a_row(
    shown: Shown, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import axolotl.formats.alpaca as alpaca

    def remarks(row: Any, options: Any) -> list[str]:
        return ["an empty answer"] if not row["output"] else []

    monkeypatch.setattr(alpaca, "remarks", remarks, raising=False)
    assert [row.remarks for row in shown(tokenizer, ALPACA)] == [(), ("an empty answer",), ()]


def test_a_row_whose_text_became_a_special_token_says_so(shown: Shown, tokenizer: Any) -> None:
    steering = {"instruction": "What is </s>?", "output": "An end."}
    rows = shown(tokenizer, ("a.jsonl", [ROWS[0], steering], "alpaca"))
    assert rows[0].remarks == (), "the end token of the template alone"
    (remark,) = rows[1].remarks
    assert "became that token; the model is steered by it" in remark
    assert as_document(rows)["rows"][1]["remarks"] == [remark]


def test_segments_are_told_apart_whatever_is_trained(bos_tokenizer: Any) -> None:
    """Also those that are empty, joined with others, or have begin and end tokens."""
    rows = [
        [Segment(f"part {i}", i % 3 == 0, bos=not i, eos=i == 6) for i in range(7)],
        [Segment("", True), Segment("a", False), Segment("", False), Segment("bc", False)],
        [Segment("Red,", True), Segment(" green", True, joined=True), Segment("!", True)],
    ]
    encoder = Encoder(bos_tokenizer)
    numbers = segment_numbers(rows, encoder).tolist()
    counts = encoder.encode([segment.text for segment in rows[0]])[1].tolist()
    counts[0] += 1  # the begin token
    counts[6] += 1  # the end token
    first = [i for i, count in enumerate(counts) for _ in range(count)]
    assert numbers[: len(first)] == first
    rest = numbers[len(first) :]
    second = rest[: int(encoder.encode(["a", "bc"])[1].sum())]
    assert (second[0], set(second[1:])) == (1, {3})
    assert sorted(set(rest[len(second) :])) == [0, 1, 2]


def test_no_rows_have_no_segments(tokenizer: Any) -> None:
    assert segment_numbers([], Encoder(tokenizer)).size == 0
