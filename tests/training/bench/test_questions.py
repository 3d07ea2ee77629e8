"""Questions are read whatever their file looks like, and a letter is one token behind its question."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from axolotl.data.encoder import Encoder
from axolotl.errors import DataError
from axolotl.training.bench import questions as module
from axolotl.training.bench.questions import choice_letters, read_questions

TEXT = "Which colour?\nA. red\nB. blue\nC. green\nAnswer:"


def written(tmp_path: Path, rows: list[dict[str, Any]], name: str = "bench.json") -> str:
    file = tmp_path / name
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    file.write_text(lines if name.endswith("jsonl") else json.dumps(rows))
    return str(file)


@pytest.mark.parametrize("name", ["bench.json", "bench.jsonl"])
@pytest.mark.parametrize("with_bos", [False, True], ids=["plain", "bos"])
def test_a_question_is_its_text_and_the_right_letter(
    tmp_path: Path, tokenizer: Any, bos_tokenizer: Any, name: str, with_bos: bool
) -> None:
    used = bos_tokenizer if with_bos else tokenizer
    rows = [
        {"input": TEXT, "output": "B. blue", "subject": "art"},
        {"input": TEXT, "output": "(c)"},
    ]
    found = read_questions(written(tmp_path, rows, name), Encoder(used), capacity_tokens=200)
    assert [question.subject for question in found] == ["art", ""]
    assert [question.right for question in found] == [1, 2]
    for question, letter in zip(found, "BC", strict=True):
        assert question.row.input_ids.tolist() == used(f"{TEXT} {letter}")["input_ids"]
        labels = question.row.labels.tolist()
        assert labels[-1] == question.choices[question.right] == question.row.input_ids[-1]
        assert set(labels[:-1]) == {-100}
        assert used.decode(question.choices).split() in (["ABC"], ["A", "B", "C"])


def test_a_question_that_ends_with_a_blank_or_a_line_gets_none(
    tmp_path: Path, tokenizer: Any
) -> None:
    rows = [{"input": f"{TEXT}{end}", "output": "A"} for end in (" ", "\n")]
    found = read_questions(written(tmp_path, rows), Encoder(tokenizer), capacity_tokens=200)
    for question, end in zip(found, (" ", "\n"), strict=True):
        assert question.row.input_ids.tolist() == tokenizer(f"{TEXT}{end}A")["input_ids"]


@pytest.mark.parametrize(
    ("text", "answer", "letters"),
    [
        ("A. x\nB. y\nC. z\n", "A", "ABC"),
        ("Say: (A) x (B) y ?", "B", "AB"),
        ("A) x\nB) y\nD) z\n", "B", "AB"),
        ("A. x\nB. y\n", "C", "AB"),
        ("Q? A. x B. y", "E", "AB"),
        ("A. x\nB. y C. z \n", "C", "ABC"),
        ("A. only one is named", "A", "ABCD"),
        ("No letters here", "E", "ABCDE"),
    ],
)
def test_letters_are_those_of_the_question_or_of_the_file(
    text: str, answer: str, letters: str
) -> None:
    assert choice_letters(text, answer, last="D") == letters


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"input": TEXT, "output": "blue"}, "the right answer is no letter: 'blue'"),
        ({"input": TEXT, "output": "E"}, "the right answer is E, .* has the choices A, B, C"),
        ({"input": "Q? A. x B. y", "output": "E"}, "the question has the choices A, B"),
        ({"input": TEXT}, "a question needs `output`"),
        ({"input": " ", "output": "A"}, "a question needs `input`"),
        ({"question": TEXT, "output": "A"}, "a question needs `input`"),
    ],
)
def test_a_row_that_is_no_question_is_named(
    tmp_path: Path, tokenizer: Any, row: dict[str, Any], says: str
) -> None:
    rows = [{"input": TEXT, "output": "A"}, row]
    with pytest.raises(DataError, match=says) as caught:
        read_questions(written(tmp_path, rows, "q.jsonl"), Encoder(tokenizer), capacity_tokens=200)
    assert "q.jsonl row 2 (line 2)" in str(caught.value.where)


def test_long_questions_are_left_out_and_that_is_said(
    tmp_path: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(module, "note", said.append)
    rows = [{"input": text, "output": "A"} for text in ("Yes?", TEXT * 9)]
    file = written(tmp_path, rows)
    found = read_questions(file, Encoder(tokenizer), capacity_tokens=60)
    assert len(found) == 1
    assert said == ["bench_dataset: 1 of 2 questions are longer than sequence_len and not asked"]
    with pytest.raises(DataError, match="no question is as short as 3 tokens"):
        read_questions(file, Encoder(tokenizer), capacity_tokens=3)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("mmlu-zs", "openaccess-ai-collective/mmlu-evals"),
        ("pharaouk/dharma-1/dharma_1_mini.json", "pharaouk/dharma-1"),
        ("nowhere.json", "no file or folder 'nowhere.json'"),
        ("src/axolotl/nowhere.json", "no file or folder"),
    ],
)
def test_a_set_that_is_not_here_is_named(tokenizer: Any, name: str, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        read_questions(name, Encoder(tokenizer), capacity_tokens=9)
    assert caught.value.where == "bench_dataset"
    assert caught.value.hint
