"""What every tracker gets, and what becomes of one that fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from axolotl.training.trackers import Outcome, TrackedRun, Trackers


class Kept:
    """Keeps what it is given; fails where told."""

    def __init__(self, *, failing: bool = False) -> None:
        self.failing = failing
        self.got: list[Any] = []

    def _keep(self, *what: Any) -> None:
        if self.failing:
            raise OSError("the server is gone")
        self.got.append(what)

    def start(self, run: TrackedRun) -> None:
        self._keep("start", run.output_dir)

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        self._keep("log", dict(values), step)

    def log_table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, step: int
    ) -> None:
        self._keep("table", title, list(columns), [list(row) for row in rows], step)

    def log_checkpoint(self, folder: Path, *, step: int) -> None:
        self._keep("checkpoint", folder, step)

    def log_result(self, files: Sequence[Path]) -> None:
        self._keep("result", list(files))

    def finish(self, outcome: Outcome) -> None:
        self._keep("finish", outcome)


def test_each_gets_numbers_and_tables() -> None:
    one, other = Kept(), Kept()
    trackers = Trackers({"one": one, "other": other})
    trackers.log({"train/loss": 2.0}, step=3)
    trackers.log_table("answers", ["prompt", "answer"], [["a", "b"]], step=3)
    assert one.got == other.got
    assert one.got == [
        ("log", {"train/loss": 2.0}, 3),
        ("table", "answers", ["prompt", "answer"], [["a", "b"]], 3),
    ]


def test_one_that_fails_is_left_out_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    bad, good = Kept(failing=True), Kept()
    trackers = Trackers({"bad": bad, "good": good})
    for step in (1, 2, 3):
        trackers.log({"train/loss": 1.0}, step=step)
    assert [step for _, _, step in good.got] == [1, 2, 3]
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("bad: nothing more is logged there: OSError: the server is gone")


def test_without_any_nothing_happens() -> None:
    trackers = Trackers()
    trackers.log_table("answers", ["a"], [["b"]], step=1)
    assert not trackers
