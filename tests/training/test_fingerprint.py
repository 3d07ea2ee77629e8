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
        "packed: then null, now true",
    ]
    assert caught.value.where == "resume_from_checkpoint"


def test_what_may_change_is_said(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_resume(checkpoint, now(learning_rate=0.2, steps=20))
    said = capsys.readouterr().err
    assert "steps: then 10, now 20; learning_rate: then 0.1, now 0.2" in said


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
