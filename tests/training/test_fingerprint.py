"""A resume goes on with the same data, layout and model, and says what else changed."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from axolotl.errors import ModelError
from axolotl.training.checkpoint_files import loading
from axolotl.training.fingerprint import FINGERPRINT_FILE, check_resume, write_fingerprint
from tests.training.made import write_checkpoint

THEN: dict[str, Any] = {
    "version": 1,
    "fixed": {"data": "abc", "seed": 42, "lora_r": 8},
    "may_change": {"steps": 10, "learning_rate": 0.1},
}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = write_checkpoint(tmp_path / "checkpoint-6")
    write_fingerprint(folder, THEN)
    return folder


def now(**changes: Any) -> dict[str, Any]:
    content = copy.deepcopy(THEN)
    for key, value in changes.items():
        content["may_change" if key in content["may_change"] else "fixed"][key] = value
    return content


def test_the_same_options_go_on_without_a_word(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_resume(checkpoint, now())
    assert capsys.readouterr().err == ""


def test_everything_that_differs_is_listed(checkpoint: Path) -> None:
    with pytest.raises(ModelError) as caught:
        check_resume(checkpoint, now(seed=7, lora_r=None, packed=True, learning_rate=0.2))
    lines = [line.strip() for line in caught.value.what.splitlines()[1:]]
    assert lines == [
        "seed: then 42, now 7",
        "lora_r: then 8, now null",
        "whether rows are filled with samples: then null, now true",
    ]
    assert caught.value.where == "resume_from_checkpoint"


def test_what_may_change_is_said(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_resume(checkpoint, now(learning_rate=0.2, steps=20))
    said = capsys.readouterr().err
    assert "steps in all: then 10, now 20; learning_rate: then 0.1, now 0.2" in said
    assert "The result is then that of neither file" in said


def test_what_trains_the_same_is_said_without_that_sentence(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = now()
    other["may_change"]["gradient_checkpointing"] = True
    check_resume(checkpoint, other)
    said = capsys.readouterr().err
    assert "gradient_checkpointing: then null, now true" in said
    assert "neither file" not in said


HASHES = {"data": "x", "train_rows": 4, "selected_rows": "y", "tokens_per_row": 64}
FILES = [{"file": "a.jsonl", "content": "1"}, {"file": "b.jsonl", "content": "2"}]
BEFORE = {
    "fixed": THEN["fixed"] | HASHES,
    "options": {"train_on_inputs": False, "sequence_len": 64, "micro_batch_size": 1, "seed": 42},
    "sources": FILES,
}
OTHER_DATA = {"data": "z", "selected_rows": "w"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"options": {"train_on_inputs": True}}, []),
        (
            {"fixed": OTHER_DATA, "options": {"train_on_inputs": True, "micro_batch_size": 2}},
            ["train_on_inputs: then false, now true"],
        ),
        (
            {"fixed": {"tokens_per_row": 128}, "options": {"micro_batch_size": 2}},
            ["micro_batch_size: then 1, now 2"],
        ),
        (
            {
                "fixed": {**OTHER_DATA, "train_rows": 3, "tokens_per_row": 32},
                "options": {"sequence_len": 32},
            },
            ["sequence_len: then 64, now 32"],
        ),
        (
            {"fixed": {"selected_rows": "w", "seed": 7}, "options": {"seed": 7}},
            ["seed: then 42, now 7"],
        ),
        (
            {"fixed": OTHER_DATA, "sources": [FILES[0], FILES[1] | {"content": "3"}]},
            ["'b.jsonl' has another content than then"],
        ),
        (
            {"fixed": OTHER_DATA, "sources": [FILES[0], {"file": "c.jsonl", "content": "3"}]},
            ["'c.jsonl' was not read then", "'b.jsonl' was read then, and is not now"],
        ),
        (
            {"fixed": OTHER_DATA, "sources": FILES[::-1]},
            ["the files were in another order: then a.jsonl, b.jsonl"],
        ),
        (
            {"fixed": OTHER_DATA, "sources": [FILES[0], {"file": "c.jsonl", "content": "2"}]},
            [
                'the tokenized rows: then "x", now "z"',
                'choice and order of the rows: then "y", now "w"',
            ],
        ),
    ],
)
def test_other_data_is_explained_by_options_and_files(
    checkpoint: Path, changes: dict[str, Any], said: list[str]
) -> None:
    write_fingerprint(checkpoint, THEN | BEFORE)
    other = THEN | BEFORE
    for group in ("fixed", "options"):
        other = other | {group: other[group] | changes.get(group, {})}
    other = other | {"sources": changes.get("sources", FILES)}
    if not said:
        check_resume(checkpoint, other)
        return
    with pytest.raises(ModelError) as caught:
        check_resume(checkpoint, other)
    assert [line.strip() for line in caught.value.what.splitlines()[1:]] == said


def test_without_the_options_of_then_what_follows_from_them_is_shown(checkpoint: Path) -> None:
    write_fingerprint(checkpoint, THEN | {"fixed": BEFORE["fixed"]})
    other = THEN | BEFORE | {"fixed": BEFORE["fixed"] | {"tokens_per_row": 128}}
    with pytest.raises(ModelError, match="tokens in a row: then 64, now 128"):
        check_resume(checkpoint, other)


def test_number_formats_of_an_earlier_version_are_found_where_they_were(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    earlier = THEN | {"may_change": THEN["may_change"] | {"bf16": False}}
    write_fingerprint(checkpoint, earlier)
    check_resume(checkpoint, now(bf16=False, attn_implementation="sdpa"))
    assert capsys.readouterr().err == ""
    with pytest.raises(ModelError, match="bf16: then false, now true"):
        check_resume(checkpoint, now(bf16=True))


def test_other_weights_under_the_same_name(checkpoint: Path) -> None:
    marks = {"config.json": "1", "model.safetensors": "2"}
    write_fingerprint(checkpoint, THEN | {"base_weights": marks, "adapter_weights": {}})
    check_resume(checkpoint, THEN | {"base_weights": {}, "adapter_weights": {}})
    other = THEN | {"base_weights": marks | {"model.safetensors": "3"}, "adapter_weights": {}}
    with pytest.raises(ModelError, match=r"base_model: .* another content .*model\.safetensors"):
        check_resume(checkpoint, other)
    write_fingerprint(checkpoint, THEN | {"base_weights": {"commit": "abc"}})
    with pytest.raises(ModelError, match="base_model: then at commit abc, now at def"):
        check_resume(checkpoint, THEN | {"base_weights": {"commit": "def"}})


def test_a_run_that_would_end_before_the_checkpoint_is_refused(checkpoint: Path) -> None:
    check_resume(checkpoint, now(steps=6))
    with pytest.raises(ModelError, match="6 steps behind it, and the run is to have only 5"):
        check_resume(checkpoint, now(steps=5))


def test_a_checkpoint_without_a_fingerprint_is_used_and_it_is_said(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkpoint / FINGERPRINT_FILE).unlink()
    check_resume(checkpoint, now(seed=7))
    assert "cannot be compared" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{", "[]", "{}", json.dumps(THEN | {"version": 99})])
def test_a_fingerprint_that_cannot_be_read_is_refused(checkpoint: Path, text: str) -> None:
    (checkpoint / FINGERPRINT_FILE).write_text(text)
    with pytest.raises(ModelError, match=r"axolotl\.json' cannot be read"):
        check_resume(checkpoint, now())


@pytest.mark.parametrize("error", [RuntimeError("size mismatch"), EOFError(), KeyError("step")])
def test_what_the_libraries_raise_while_loading_is_one_message(error: Exception) -> None:
    with (
        pytest.raises(ModelError, match="checkpoint 'somewhere' does not load"),
        loading("somewhere"),
    ):
        raise error
