import json
from pathlib import Path
from typing import Any

import pytest

from axolotl.data.encoder import Encoder
from axolotl.errors import DataError
from axolotl.records import Segment
from axolotl.reports.preview import Piece, as_document, segment_numbers, summarise, summary_line
from tests.reports.conftest import Shown

ROWS = [
    {"instruction": "Name a colour.", "input": "It must be warm.", "output": "Red — été."},
    {"instruction": "Name a colour.", "output": ""},
    {"instruction": "Name another.", "output": "Green."},
]
ALPACA = ("a.jsonl", ROWS, "alpaca")
LONG = ("long.jsonl", [{"text": "Red, green and blue. " * 20}], "completion")


def test_prompt_masked_answer_and_end_trained(shown: Shown, bos_tokenizer: Any) -> None:
    rows = shown(bos_tokenizer, ALPACA)
    assert [row.source_row for row in rows] == [1, 2, 3]
    first = rows[0]
    assert [s.train for s in first.segments] == [False, True]
    trained = [i for i, label in zip(first.input_ids, first.labels, strict=True) if label != -100]
    assert bos_tokenizer.decode(trained) == "Red — été.</s>"
    assert first.trained_tokens == len(trained)
    assert (first.row, first.type, first.entry) == (ROWS[0], "alpaca", "datasets.0")
    assert first.pieces == (Piece(0, len(first.input_ids)),)
    assert first.fate is None
    # A segment is trained exactly where its tokens are.
    assert [label != -100 for label in first.labels] == [bool(i) for i in first.segment_of]


def test_dropped_rows_say_why(shown: Shown, tokenizer: Any) -> None:
    one_less = len(shown(tokenizer, ALPACA)[0].input_ids) - 1
    rows = shown(tokenizer, ALPACA, capacity_tokens=one_less)
    assert [row.dropped for row in rows] == ["longer than sequence_len", "no trained token", None]
    assert [row.fate for row in rows] == ["dropped", "dropped", None]
    assert "1 dropped (no trained token)" in summary_line(rows)
    assert len(rows[0].input_ids) == one_less + 1, "it is shown whole all the same"


def test_a_truncated_row_is_whole_with_the_place_of_the_cut(shown: Shown, tokenizer: Any) -> None:
    whole = shown(tokenizer, ALPACA)[0]
    cut = shown(tokenizer, ALPACA, capacity_tokens=len(whole.input_ids) - 2, excess="truncate")[0]
    assert cut.input_ids == whole.input_ids
    assert cut.pieces == (Piece(0, len(whole.input_ids) - 2),)
    assert cut.fate == "truncated"
    assert cut.trained_tokens == whole.trained_tokens - 2
    document = as_document([cut])
    assert document["rows"][0]["input_ids"] == whole.input_ids[:-2]
    assert document["rows"][0]["lost_tokens"] == 2
    assert document["summary"]["truncated"] == 1


def test_a_split_row_is_one_row_here_and_several_in_the_document(
    shown: Shown, tokenizer: Any
) -> None:
    (row,) = shown(tokenizer, LONG, capacity_tokens=50)
    ends = [piece.end for piece in row.pieces]
    assert row.fate == "split"
    assert ends[:-1] == list(range(50, len(row.input_ids), 50))
    assert ends[-1] == len(row.input_ids)
    # The first token of each of its rows is never predicted.
    assert row.trained_tokens == len(row.input_ids) - len(row.pieces)
    parts = as_document([row])["rows"]
    assert [part["source_row"] for part in parts] == [1] * len(ends)
    assert [len(part["input_ids"]) for part in parts[:-1]] == [50] * (len(parts) - 1)
    assert [token for part in parts for token in part["input_ids"]] == row.input_ids
    assert [len(part["segments"]) for part in parts] == [1] + [0] * (len(parts) - 1)
    assert [part["piece"] for part in parts] == list(range(1, len(ends) + 1))
    assert summarise([row])["rows"] == len(ends)


def test_the_document(shown: Shown, tokenizer: Any, tmp_path: Path) -> None:
    tokens = [{"input_ids": [5, 6, 2], "labels": [-100, 6, 2]}]
    rows = shown(tokenizer, ALPACA, ("t.jsonl", tokens, None), first_rows=1)
    document = json.loads(json.dumps(as_document(rows)))
    assert [row["dataset"][-7:] for row in document["rows"]] == ["a.jsonl", "t.jsonl"]
    answer = document["rows"][0]["segments"][1]
    assert (answer["text"], answer["train"], answer["bos"]) == ("Red — été.", True, False)
    pretokenized = document["rows"][1]
    assert pretokenized["dataset"] == f"{tmp_path}/t.jsonl"
    assert pretokenized["source_row"] == 1
    assert pretokenized["segments"] == []
    assert pretokenized["input_ids"] == [5, 6, 2]
    assert pretokenized["labels"] == [-100, 6, 2]
    assert (pretokenized["dropped"], pretokenized["bad"], pretokenized["type"]) == (None,) * 3
    assert pretokenized["row"] == tokens[0]
    summary = document["summary"]
    assert summary["rows"] == 2
    assert summary["tokens"] == sum(len(row["input_ids"]) for row in document["rows"])
    assert summary["trained_tokens"] == 2 + rows[0].trained_tokens


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
