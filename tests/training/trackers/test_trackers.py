"""What every tracker gets, and what becomes of one that fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from axolotl.config.tracking import TrackingSection
from axolotl.errors import ConfigError, EnvironmentFault
from axolotl.registry import available
from axolotl.training.trackers import TrackedRun, Trackers, following


class Kept:
    """Keeps what it is given; fails at what it is told."""

    option = "use_kept"

    def __init__(self, *, failing: Sequence[str] = (), error: Exception | None = None) -> None:
        self.failing = failing
        self.error = error or OSError("the server is gone")
        self.got: list[Any] = []

    def _keep(self, *what: Any) -> None:
        if what[0] in self.failing:
            raise self.error
        self.got.append(what)

    def check(self) -> None:
        self._keep("check")

    def start(self, run: TrackedRun) -> None:
        self._keep("start", run.output_dir)

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        self._keep("log", dict(values), step)

    def log_table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, step: int
    ) -> None:
        self._keep("table", title, list(columns), [list(row) for row in rows], step)

    def log_weights(self, model: Any, *, step: int) -> None:
        self._keep("weights", model, step)

    def log_checkpoint(self, folder: Path, *, step: int) -> None:
        self._keep("checkpoint", folder, step)

    def log_result(self, files: Sequence[Path]) -> None:
        self._keep("result", list(files))

    def finish(self, outcome: str) -> None:
        self._keep("finish", outcome)


RUN = TrackedRun(Path("out"), {}, {}, {})


def begun(**trackers: Kept) -> Trackers:
    made = Trackers(trackers)
    made.check()
    made.start(RUN)
    for tracker in trackers.values():
        tracker.got.clear()
    return made


def test_each_gets_everything() -> None:
    one, other = Kept(), Kept()
    trackers = begun(one=one, other=other)
    trackers.log_line({"step": 3, "epoch": 0.5, "loss": 2.0, "grad_norm": None})
    trackers.log_line({"step": 3, "epoch": 0.5, "eval_loss": 1.0, "eval_names_loss": 4.0})
    trackers.log_table("answers", ["prompt", "answer"], [["a", "b"]], step=3)
    trackers.log_result([Path("out/model")])
    trackers.finish("done")
    assert one.got == other.got
    assert one.got == [
        ("log", {"train/epoch": 0.5, "train/loss": 2.0}, 3),
        ("log", {"eval/loss": 1.0, "eval/names_loss": 4.0}, 3),
        ("table", "answers", ["prompt", "answer"], [["a", "b"]], 3),
        ("result", [Path("out/model")]),
        ("finish", "done"),
    ]


def test_checkpoints_and_weights_come_from_the_trainer() -> None:
    kept = Kept()
    trackers = begun(kept=kept)
    arguments = SimpleNamespace(output_dir="out")
    for step in (0, 1, 2, 3):
        state = SimpleNamespace(global_step=step, logging_steps=2)
        trackers.on_pre_optimizer_step(arguments, state, None, model="model")
    trackers.on_save(arguments, SimpleNamespace(global_step=4), None)
    assert kept.got == [
        ("weights", "model", 2),
        ("weights", "model", 4),
        ("checkpoint", Path("out/checkpoint-4"), 4),
    ]


def test_one_that_fails_is_left_out_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    bad, good = Kept(failing=["log"]), Kept()
    trackers = begun(bad=bad, good=good)
    for step in (1, 2, 3):
        trackers.log_line({"step": step, "loss": 1.0})
    trackers.finish("done")
    assert [step for _, _, step in good.got[:-1]] == [1, 2, 3]
    assert bad.got == good.got[-1:] == [("finish", "done")]
    said = capsys.readouterr().err
    assert said == "bad: nothing more is logged there: OSError: the server is gone\n"


def test_an_end_that_fails_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    begun(bad=Kept(failing=["finish"])).finish("done")
    assert "bad: the run could not be ended there: OSError" in capsys.readouterr().err


@pytest.mark.parametrize("moment", ["check", "start"])
def test_before_the_first_step_an_error_is_one(moment: str) -> None:
    kept = Kept(failing=[moment])
    with pytest.raises(EnvironmentFault, match="kept cannot follow the run: OSError") as caught:
        begun(kept=kept)
    assert caught.value.where == "use_kept"


def test_what_a_tracker_says_itself_stays() -> None:
    error = ConfigError("use_kept", "no")
    with pytest.raises(ConfigError, match="no"):
        begun(kept=Kept(failing=["start"], error=error))


def test_one_that_never_began_gets_nothing_but_the_end() -> None:
    kept = Kept()
    trackers = Trackers({"kept": kept})
    trackers.log_line({"step": 1, "loss": 1.0})
    assert not trackers.any_left
    trackers.finish("failed")
    assert kept.got == [("finish", "failed")]


def test_other_processes_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    with following(TrackingSection(use_tensorboard=True)) as trackers:
        trackers.start(RUN)
        assert not trackers.any_left


def test_without_any_nothing_happens() -> None:
    trackers = Trackers()
    trackers.log_table("answers", ["a"], [["b"]], step=1)
    assert not trackers.any_left


def test_every_file_is_a_tracker() -> None:
    assert available("axolotl.training.trackers") == ("mlflow", "tensorboard", "wandb")
