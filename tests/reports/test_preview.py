import json
from pathlib import Path
from typing import Any

import pytest

from axolotl.config.load import load_config
from axolotl.data.encoder import Encoder
from axolotl.data.entries import open_parts
from axolotl.data.tokenize import Limits
from axolotl.errors import DataError
from axolotl.reports.preview import (
    PreviewRow,
    as_document,
    preview_rows,
    render,
    render_tokens,
    summary_line,
)

ROWS = [
    {"instruction": "Name a colour.", "input": "It must be warm.", "output": "Red — été."},
    {"instruction": "Name a colour.", "output": ""},
    {"instruction": "Name another.", "output": "Green."},
]


def shown(
    folder: Path, tokenizer: Any, *entries: tuple[str, Any, str | None], **options: Any
) -> list[PreviewRow]:
    datasets = []
    for name, rows, kind in entries:
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        datasets.append({"path": str(folder / name), "type": kind})
    encoder = Encoder(tokenizer)
    parts = open_parts(load_config({"base_model": "a-model", "datasets": datasets}), encoder)
    limits = Limits(options.pop("capacity_tokens", 2048))
    return preview_rows(parts, encoder, limits, first_rows=options.pop("first_rows", 5))


def test_prompt_masked_answer_and_end_trained(tmp_path: Path, bos_tokenizer: Any) -> None:
    rows = shown(tmp_path, bos_tokenizer, ("a.jsonl", ROWS, "alpaca"))
    assert [row.source_row for row in rows] == [1, 2, 3]
    first = rows[0]
    assert [s.train for s in first.segments] == [False, True]
    trained = [i for i, label in zip(first.input_ids, first.labels, strict=True) if label != -100]
    assert bos_tokenizer.decode(trained) == "Red — été.</s>"
    assert first.trained_tokens == len(trained)
    text = render(first, bos_tokenizer, Encoder(bos_tokenizer))
    assert text.plain.startswith(f"{tmp_path}/a.jsonl row 1  {len(first.input_ids)} tokens: ")
    assert "<s>Below is an instruction" in text.plain
    assert text.plain.endswith("### Response:\n⟦Red — été.</s>⟧")
    styles = {text.plain[span.start : span.end]: span.style for span in text.spans}
    assert styles["Red — été."] == "green"
    assert styles["</s>"] == "green reverse"
    assert styles["<s>"] == "dim reverse"


def test_dropped_rows_say_why(tmp_path: Path, tokenizer: Any) -> None:
    entry = ("a.jsonl", ROWS, "alpaca")
    one_less = len(shown(tmp_path, tokenizer, entry)[0].input_ids) - 1
    rows = shown(tmp_path, tokenizer, entry, capacity_tokens=one_less)
    assert [row.dropped for row in rows] == ["longer than sequence_len", "no trained token", None]
    assert "dropped: no trained token" in render(rows[1], tokenizer, Encoder(tokenizer)).plain
    assert "1 dropped (no trained token)" in summary_line(rows)


def test_the_document(tmp_path: Path, tokenizer: Any) -> None:
    tokens = [{"input_ids": [5, 6, 2], "labels": [-100, 6, 2]}]
    rows = shown(
        tmp_path, tokenizer, ("a.jsonl", ROWS, "alpaca"), ("t.jsonl", tokens, None), first_rows=1
    )
    document = json.loads(json.dumps(as_document(rows)))
    assert [row["dataset"][-7:] for row in document["rows"]] == ["a.jsonl", "t.jsonl"]
    assert document["rows"][0]["segments"][1] == {
        "text": "Red — été.",
        "train": True,
        "bos": False,
        "eos": True,
        "joined": False,
    }
    assert document["rows"][1] == {
        "dataset": f"{tmp_path}/t.jsonl",
        "source_row": 1,
        "segments": [],
        "input_ids": [5, 6, 2],
        "labels": [-100, 6, 2],
        "dropped": None,
    }
    summary = document["summary"]
    assert summary["rows"] == 2
    assert summary["tokens"] == sum(len(row["input_ids"]) for row in document["rows"])
    assert summary["trained_tokens"] == 2 + rows[0].trained_tokens


def test_long_texts_are_shown_as_the_rows_they_become(tmp_path: Path, tokenizer: Any) -> None:
    texts = [{"text": "Red, green and blue. " * 20}]
    rows = shown(tmp_path, tokenizer, ("a.jsonl", texts, "completion"), capacity_tokens=50)
    assert {row.source_row for row in rows} == {1}
    assert [len(row.input_ids) for row in rows[:-1]] == [50] * (len(rows) - 1)
    assert [len(row.segments) for row in rows] == [1] + [0] * (len(rows) - 1)


def test_control_characters_cannot_reach_the_terminal(tmp_path: Path, tokenizer: Any) -> None:
    rows = shown(tmp_path, tokenizer, ("a.jsonl", [{"text": "a\x1b[31m\u202eb"}], "completion"))
    assert "a␛[31m<U+202E>b" in render(rows[0], tokenizer, Encoder(tokenizer)).plain


def test_tokens_one_by_one(tokenizer: Any) -> None:
    ids = tokenizer("Red</s>", add_special_tokens=False)["input_ids"]
    labels = [-100] * (len(ids) - 1) + [2]
    assert render_tokens(ids, labels, tokenizer).plain.endswith("</s>(2, 2) ")
    plain = render_tokens(ids, labels, tokenizer, text_only=True)
    assert plain.plain == "Red</s>"
    assert [span.style for span in plain.spans] == ["red"] * (len(ids) - 1) + ["green"]


def test_a_bad_row_is_named(tmp_path: Path, tokenizer: Any) -> None:
    rows = [*ROWS, {"instruction": "a"}]
    assert len(shown(tmp_path, tokenizer, ("a.jsonl", rows, "alpaca"), first_rows=3)) == 3
    with pytest.raises(DataError, match=r"a\.jsonl row 4 \(line 4\): no field 'output'"):
        shown(tmp_path, tokenizer, ("a.jsonl", rows, "alpaca"))
