import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from axolotl.reports.preview import Piece, as_document, summarise, summary_line
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


def test_the_document_is_json_whatever_a_row_holds(shown: Shown, tokenizer: Any) -> None:
    odd = {"when": date(2026, 1, 2), "share": float("nan"), "raw": b"x", **ROWS[0]}
    row = replace(shown(tokenizer, ALPACA)[0], row=odd)
    (written,) = json.loads(json.dumps(as_document([row]), allow_nan=False))["rows"]
    assert written["row"] == {**odd, "when": "2026-01-02", "share": "NaN", "raw": "b'x'"}
