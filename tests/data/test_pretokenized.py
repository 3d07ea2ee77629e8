from typing import Any

import pytest

from axolotl.data.pretokenized import TokenBatch, is_pretokenized
from axolotl.errors import DataError
from tests.data.conftest import Prepare, json_lines

ROW = {"input_ids": [1, 5, 6, 2], "attention_mask": [1, 1, 1, 1], "labels": [-100, -100, 6, 2]}


def test_rows_pass_unchanged(run: Prepare, write: Any) -> None:
    only_ids = {"input_ids": [7, 8, 9]}
    path = write("a.jsonl", json_lines([ROW, only_ids]))
    prepared = run({"path": path})
    assert prepared.train[0].input_ids.tolist() == ROW["input_ids"]
    assert prepared.train[0].labels.tolist() == ROW["labels"]
    assert prepared.train[1].labels.tolist() == [7, 8, 9]
    assert prepared.summary.sources[0]["format"] == "pretokenized"


def test_length_filter_applies_and_masked_rows_go(run: Prepare, write: Any) -> None:
    masked = ROW | {"labels": [-100] * 4}
    longer = {name: values * 2 for name, values in ROW.items()}
    path = write("a.jsonl", json_lines([ROW, masked, longer]))
    summary = run({"path": path}, sequence_len=4).summary
    assert summary.dropped == {"no trained token": 1, "longer than sequence_len": 1}
    assert summary.dropped_rows["longer than sequence_len"].places == (("a.jsonl", 3),)


def test_padding_is_taken_out_and_said(run: Prepare, write: Any) -> None:
    padded = {
        "input_ids": [0, 5, 6, 0],
        "attention_mask": [0, 1, 1, 0],
        "labels": [-100, 5, 6, -100],
    }
    prepared = run({"path": write("a.jsonl", json_lines([padded, ROW]))})
    assert prepared.train[0].input_ids.tolist() == [5, 6]
    assert prepared.summary.warnings == ("1 pretokenized rows were stored without their padding",)


def test_type_has_no_effect_on_tokens(
    run: Prepare, write: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert is_pretokenized(ROW, typed=True)
    assert not is_pretokenized({"input_ids": [1], "instruction": "a"}, typed=True)
    prepared = run({"path": write("typed.jsonl", json_lines([ROW])), "type": "alpaca"})
    assert prepared.train[0].input_ids.tolist() == ROW["input_ids"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [1, 2]}, "have 4, 4 and 2 entries"),
        ({"attention_mask": [1, 1, 1]}, "have 4, 3 and 4 entries"),
        ({"input_ids": [1, 5, 6, 100]}, "input_ids holds 100, but the tokenizer has ids 0 to 99"),
        ({"input_ids": [1, 5, 6, -1]}, "input_ids holds -1"),
        ({"labels": [1, 2, 3, -1]}, "labels holds -1, which is neither an id nor -100"),
        ({"attention_mask": [1, 1, 2, 2]}, "something else than 0 and 1"),
        ({"attention_mask": [1, 1, 1, 0]}, "a token that attention_mask takes out has a label"),
        ({"input_ids": "1 5 6 2"}, "'input_ids' is not a list of whole numbers"),
        ({"input_ids": [1, 5, 6.5, 2]}, "'input_ids' is not a list of whole numbers"),
        ({"input_ids": [[1], [5, 6, 2]]}, "'input_ids' is not a list of whole numbers"),
        ({"labels": [True, True, True, True]}, "'labels' is not a list of whole numbers"),
        ({"input_ids": [1, 5, 6, 10**30]}, "'input_ids' is not a list of whole numbers"),
        ({"input_ids": None}, "'input_ids' is not a list of whole numbers"),
    ],
)
def test_rows_that_do_not_fit(change: dict[str, Any], message: str) -> None:
    batch = TokenBatch(100)
    batch.add(ROW)
    with pytest.raises(DataError, match=message):
        batch.add(ROW | change)


def test_the_row_is_named(run: Prepare, write: Any) -> None:
    path = write("a.jsonl", json_lines([ROW, ROW | {"labels": [1]}]))
    with pytest.raises(
        DataError, match=r"a\.jsonl row 2 \(line 2\): input_ids, attention_mask and"
    ):
        run({"path": path})
