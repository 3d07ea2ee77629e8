from typing import Any

from axolotl.data.encoder import Encoder
from axolotl.reports.preview_text import render, render_tokens
from tests.reports.conftest import Shown
from tests.reports.test_preview import ALPACA, LONG, ROWS


def test_trained_text_stands_in_brackets_and_special_tokens_are_reversed(
    shown: Shown, bos_tokenizer: Any
) -> None:
    first = shown(bos_tokenizer, ALPACA)[0]
    text = render(first, bos_tokenizer, Encoder(bos_tokenizer))
    masked = len(first.input_ids) - first.trained_tokens
    assert text.plain.startswith(f"{first.dataset} row 1  {len(first.input_ids)} tokens: {masked}")
    assert "<s>Below is an instruction" in text.plain
    assert text.plain.endswith("### Response:\n⟦Red — été.</s>⟧")
    styles = {text.plain[span.start : span.end]: span.style for span in text.spans}
    assert styles["Red — été."] == "green"
    assert styles["</s>"] == "green reverse"
    assert styles["<s>"] == "dim reverse"


def test_what_becomes_of_a_row_is_said(shown: Shown, tokenizer: Any) -> None:
    encoder = Encoder(tokenizer)
    rows = shown(tokenizer, ALPACA)
    assert "dropped: no trained token" in render(rows[1], tokenizer, encoder).plain
    cut = shown(tokenizer, ALPACA, capacity_tokens=len(rows[0].input_ids) - 2, excess="truncate")[0]
    text = render(cut, tokenizer, encoder)
    assert "truncated: 2 tokens are lost" in text.plain
    assert text.plain.endswith("⟧") or "✂" in text.plain
    lost = text.plain.partition("✂")[2].rstrip("⟧")
    assert lost == tokenizer.decode(cut.input_ids[-2:])
    assert text.spans[-2].style == "dim strike"


def test_a_split_row_shows_where(shown: Shown, tokenizer: Any) -> None:
    (row,) = shown(tokenizer, LONG, capacity_tokens=50)
    text = render(row, tokenizer, Encoder(tokenizer)).plain
    assert f"split into {len(row.pieces)} rows" in text
    assert text.count("✂") == len(row.pieces) - 1


def test_a_bad_row_says_what_is_wrong(shown: Shown, tokenizer: Any) -> None:
    rows = shown(tokenizer, ("a.jsonl", [*ROWS, {"instruction": "a"}], "alpaca"))
    text = render(rows[3], tokenizer, Encoder(tokenizer)).plain
    assert "a.jsonl row 4" in text
    assert "bad row: no field 'output'" in text


def test_control_characters_cannot_reach_the_terminal(shown: Shown, tokenizer: Any) -> None:
    rows = shown(tokenizer, ("a.jsonl", [{"text": "a\x1b[31m\u202eb"}], "completion"))
    assert "a␛[31m<U+202E>b" in render(rows[0], tokenizer, Encoder(tokenizer)).plain


def test_tokens_one_by_one(tokenizer: Any) -> None:
    ids = tokenizer("Red</s>", add_special_tokens=False)["input_ids"]
    labels = [-100] * (len(ids) - 1) + [2]
    assert render_tokens(ids, labels, tokenizer).plain.endswith("</s>(2, 2) ")
    plain = render_tokens(ids, labels, tokenizer, text_only=True)
    assert plain.plain == "Red</s>"
    assert [span.style for span in plain.spans] == ["red"] * (len(ids) - 1) + ["green"]


def test_a_label_of_0_is_yellow(tokenizer: Any) -> None:
    text = render_tokens([5, 0, 6], [-100, 0, 6], tokenizer, text_only=True)
    assert [span.style for span in text.spans] == ["red", "yellow", "green"]
