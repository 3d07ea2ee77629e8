"""Files of lines belong to the past of the run that goes on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from axolotl.training.callbacks.json_lines import FilesOfSteps, JsonLines
from axolotl.training.callbacks.metrics import read_metrics


def begin(file: JsonLines, step: int, *, first: bool = True) -> None:
    state = SimpleNamespace(global_step=step, is_world_process_zero=first)
    FilesOfSteps([file]).on_train_begin(None, state, None)


def made(folder: Path) -> JsonLines:
    file = JsonLines(folder / "samples.jsonl")
    file.add({"step": step, "text": "ä\u2028b"} for step in (2, 4, 6))
    with file.file.open("a") as out:
        out.write('{"step": 6, "te')
    return file


def test_a_resume_cuts_off_what_lies_behind_it(tmp_path: Path) -> None:
    file = made(tmp_path)
    begin(file, 4)
    assert [line["step"] for line in read_metrics(file.file)] == [2, 4]
    file.add([{"step": 5, "text": "new"}])
    assert [line["text"] for line in read_metrics(file.file)] == ["ä\u2028b"] * 2 + ["new"]


def test_a_new_run_begins_without_lines(tmp_path: Path) -> None:
    file = made(tmp_path)
    begin(file, 0, first=False)
    assert file.file.exists(), "only one process writes"
    begin(file, 0)
    assert not file.file.exists()
    begin(file, 0)
