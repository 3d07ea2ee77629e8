"""Rows of a file of prompts: read one by one, and asked as in training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from axolotl.errors import DataError
from axolotl.formats import BoundFormat, bind
from axolotl.inference.prompt_rows import count_rows, read_rows, row_segments
from tests.formats.test_formats import SHARED

TALK = [{"role": "user", "content": "Is snow white?"}]
ANSWERED = [*TALK, {"role": "assistant", "content": "Yes."}]


def text_of(row: dict[str, Any], bound: BoundFormat | None) -> str:
    return "".join(part.text for part in row_segments(row, bound))


def test_lines_are_rows_and_those_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    lines = ['{"prompt": "ä"}', "", '{"prompt": ', "[1]", '{"id": 7}']
    file.write_bytes("\n".join(lines).encode() + b'\n{"prompt": "\xff"}')
    found = list(read_rows(file))
    assert [row.number for row in found] == [1, 2, 3, 4, 5] == list(range(1, count_rows(file) + 1))
    assert [row.row for row in found] == [{"prompt": "ä"}, None, None, {"id": 7}, None]
    for place, problem in ((1, "no JSON"), (2, "no JSON object"), (4, "not UTF-8 (byte 12)")):
        assert found[place].problem.startswith(problem)


def test_a_mark_at_the_begin_of_the_file_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b'\xef\xbb\xbf{"prompt": "x"}\n')
    assert next(read_rows(file)).row == {"prompt": "x"}
    with pytest.raises(DataError, match="no file"):
        count_rows(tmp_path / "other.jsonl")


def test_all_ways_to_ask_are_the_same_question() -> None:
    alpaca = bind("alpaca", shared=SHARED)
    asked = text_of({"prompt": "Is snow white?"}, alpaca)
    assert asked.endswith("### Response:\n")
    assert text_of({"instruction": "Is snow white?"}, alpaca) == asked
    assert text_of({"instruction": "Is snow white?", "output": "Yes."}, alpaca) == asked
    assert text_of({"messages": TALK}, alpaca) == asked
    assert text_of({"messages": ANSWERED}, alpaca) == asked
    assert "1 2" in text_of({"instruction": "Add.", "input": "1 2"}, alpaca)
    chat = bind("chat_template", shared=SHARED)
    asked = text_of({"prompt": "Is snow white?"}, chat)
    for row in ({"messages": TALK}, {"messages": ANSWERED}):
        assert text_of(row, chat) == asked
    old = {"conversations": [{"from": "human", "value": "Is snow white?"}]}
    assert text_of(old, chat) == asked
    vicuna = bind("sharegpt", shared=SHARED)
    assert text_of(old, vicuna) == text_of({"messages": TALK}, vicuna)
    assert text_of({"prompt": "Is snow white?"}, None) == "Is snow white?"
    assert text_of({"messages": TALK}, None) == "Is snow white?"


@pytest.mark.parametrize(
    ("row", "kind", "problem"),
    [
        ({"question": "x"}, "alpaca", r"no 'prompt' and no 'messages' and none of: instruction"),
        ({"question": "x"}, None, r"no 'prompt' and no 'messages' \(the row has: question\)"),
        ({"prompt": 5}, "alpaca", "'prompt' is no text"),
        ({"messages": "x"}, "alpaca", "no list of objects"),
        ({"messages": [*ANSWERED, *TALK]}, "alpaca", "no place for earlier turns"),
        ({"messages": []}, "sharegpt", "no question"),
        ({"output": "x"}, "alpaca", "no field 'instruction'"),
    ],
)
def test_a_row_that_asks_nothing_says_why(
    row: dict[str, Any], kind: str | None, problem: str
) -> None:
    with pytest.raises(DataError, match=problem):
        row_segments(row, bind(kind, shared=SHARED) if kind else None)
