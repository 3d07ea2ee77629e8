"""How long rows may be, seen in the prepared data."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from axolotl.data.encoder import Encoder
from axolotl.data.tokenize import Limits
from axolotl.errors import DataError
from tests.data.conftest import Prepare, file_of, json_lines

Write = Callable[[str, bytes], str]
LONG, SHORT = "Red. " * 60, "Red."


@pytest.fixture
def entry(write: Write) -> dict[str, Any]:
    """Rows with a long answer, a long question, and neither."""
    rows = [
        {"instruction": "Name a colour.", "output": SHORT},
        {"instruction": "Name a colour.", "output": LONG},
        {"instruction": LONG * 2, "output": SHORT},
    ]
    return {"path": write("a.jsonl", json_lines(rows)), "type": "alpaca"}


def test_long_rows_are_dropped_by_default(run: Prepare, entry: dict[str, Any]) -> None:
    summary = run(entry, sequence_len=200).summary
    assert summary.dropped_rows["longer than sequence_len"].places == (
        ("a.jsonl", 2),
        ("a.jsonl", 3),
    )
    assert summary.rows_truncated.count == 0


def test_excess_length_strategy_truncate(run: Prepare, entry: dict[str, Any]) -> None:
    whole = run(entry).train
    cut = run(entry, sequence_len=200, excess_length_strategy="truncate")
    assert cut.train.lengths.tolist() == [whole.lengths[0], 200]
    assert cut.train[1].input_ids.tolist() == whole[1].input_ids[:200].tolist()
    assert cut.train[1].labels.tolist() == whole[1].labels[:200].tolist()
    summary = cut.summary
    assert summary.rows_truncated.places == (("a.jsonl", 2),)
    assert summary.dropped == {"no trained token left after truncation": 1}
    assert summary.dropped_rows["no trained token left after truncation"].places == (
        ("a.jsonl", 3),
    )
    assert ("cut to sequence_len", "1 (a.jsonl row 2)") in summary.lines()


def test_excess_length_strategy_raise(run: Prepare, entry: dict[str, Any]) -> None:
    tokens = run(entry).train.lengths[1]
    with pytest.raises(
        DataError, match=f"a.jsonl row 2: {tokens} tokens, more than the 200"
    ) as found:
        run(entry, sequence_len=200, excess_length_strategy="raise")
    assert "set excess_length_strategy to drop or truncate" in str(found.value.hint)
    assert not [f for f in Path("last_run_prepared").glob(".*") if f.is_dir()]


def test_rows_that_are_tokens_are_cut_too(run: Prepare, write: Write) -> None:
    row = {"input_ids": [5, 6, 7, 8], "attention_mask": [1] * 4, "labels": [-100, -100, -100, 8]}
    path = write("t.jsonl", json_lines([row, row | {"labels": [5, 6, 7, 8]}]))
    prepared = run({"path": path}, sequence_len=3, excess_length_strategy="truncate")
    assert [row.input_ids.tolist() for row in (prepared.train[0],)] == [[5, 6, 7]]
    assert prepared.summary.dropped == {"no trained token left after truncation": 1}


@pytest.mark.parametrize("excess_length_strategy", ["drop", "truncate", "raise"])
def test_plain_text_is_always_split(
    excess_length_strategy: str, run: Prepare, write: Write
) -> None:
    entry = {"path": write("a.txt", LONG.encode()), "type": "completion"}
    whole = run(entry).train[0].input_ids.tolist()
    split = run(entry, sequence_len=50, excess_length_strategy=excess_length_strategy)
    assert [t for i in range(len(split.train)) for t in split.train[i].input_ids] == whole
    assert split.summary.rows_split.places == (("a.txt", 1),)


def test_min_sample_len_leaves_out_what_is_shorter(run: Prepare, entry: dict[str, Any]) -> None:
    lengths = run(entry).train.lengths
    assert run(entry, min_sample_len=int(lengths[0])).train.lengths.tolist() == lengths.tolist()
    prepared = run(entry, min_sample_len=int(lengths[0]) + 1)
    assert prepared.train.lengths.tolist() == lengths[1:].tolist()
    assert prepared.summary.dropped_rows["shorter than min_sample_len"].places == (("a.jsonl", 1),)


def test_the_limits_are_those_of_the_file(write: Write, tokenizer: Any) -> None:
    encoder = Encoder(tokenizer)
    entry = {"path": write("a.txt", b"a"), "type": "completion"}
    options = {"sequence_len": 70, "min_sample_len": 3, "excess_length_strategy": "raise"}
    assert Limits.of(file_of(entry, **options), encoder) == Limits(70, "raise", 3)
    assert Limits.of(file_of(entry), encoder) == Limits(2048)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"sequence_len": 20}, "sequence_len is 20, the longest row has"),
        (
            {"sequence_len": 20, "excess_length_strategy": "truncate"},
            "sequence_len is 20: raise it",
        ),
        ({"min_sample_len": 2000}, "min_sample_len is 2000: lower it"),
    ],
)
def test_where_no_row_is_left_the_hint_fits_the_reason(
    options: dict[str, Any], hint: str, run: Prepare, entry: dict[str, Any]
) -> None:
    with pytest.raises(DataError, match="none of the 3 rows can be trained on: 3 ") as found:
        run(entry, **options)
    assert hint in str(found.value.hint)


def test_rows_without_an_answer_or_a_field_have_hints_too(run: Prepare, write: Write) -> None:
    empty = write("e.jsonl", json_lines([{"instruction": "a", "output": ""}]))
    with pytest.raises(DataError, match="1 no trained token") as found:
        run({"path": empty, "type": "alpaca"})
    assert found.value.hint == "a row needs an answer that is not empty"
    bad = write("b.jsonl", json_lines([{"instruction": "a"}]))
    with pytest.raises(DataError, match="1 no field 'output'") as found:
        run({"path": bad, "type": "alpaca"}, skip_bad_rows=1)
    assert found.value.hint == "look at some rows with `axolotl preview`"


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({"roles_to_train": []}, "roles_to_train is []: one turn with text must be trained"),
        (
            {"message_field_training": "learn"},
            "roles_to_train is [assistant] and message_field_training is learn: one turn",
        ),
    ],
)
def test_where_no_turn_is_trained_the_hint_names_what_chooses_them(
    settings: dict[str, Any], hint: str, run: Prepare, write: Write
) -> None:
    turns = [
        {"role": "user", "content": "Hi."},
        {"role": "assistant", "content": "Hello.", "learn": False},
    ]
    path = write("m.jsonl", json_lines([{"messages": turns}]))
    entry = {"path": path, "type": "chat_template", "chat_template": "chatml"}
    with pytest.raises(DataError, match="1 no trained token") as found:
        run(entry | settings)
    assert str(found.value.hint).startswith(hint)
