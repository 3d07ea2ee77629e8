"""TensorBoard: one folder for each run, and what a resume does with it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from axolotl.config.tracking import TrackingSection
from axolotl.training.trackers import TrackedRun
from axolotl.training.trackers.tensorboard import TensorBoard, opened


def begun(output: Path, *, resumed: bool = False, lines: Sequence[Any] = ()) -> TensorBoard:
    tracker = opened(TrackingSection(use_tensorboard=True))
    assert tracker is not None
    tracker.check()
    tracker.start(
        TrackedRun(output, {"lora_r": 8}, {"lora_r": 8}, {}, resumed=resumed, lines=lines)
    )
    return tracker


def events(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        return EventAccumulator(str(folder)).Reload()


def test_a_table_is_text(tmp_path: Path) -> None:
    tracker = begun(tmp_path)
    tracker.log_table("answers", ["prompt", "answer"], [["a|b", "two\nlines"]], step=3)
    tracker.finish("done")
    (folder,) = (tmp_path / "runs").iterdir()
    found = events(folder)
    (event,) = found.Tensors("answers/text_summary")
    (text,) = event.tensor_proto.string_val
    assert event.step == 3
    assert text.decode() == "| prompt | answer |\n| --- | --- |\n| a\\|b | two<br>lines |"
    assert "config/resolved.yml/text_summary" in found.Tags()["tensors"]


def test_each_new_run_has_its_folder(tmp_path: Path) -> None:
    for _ in range(2):
        begun(tmp_path).finish("done")
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_a_resume_takes_back_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    tracker = begun(tmp_path)
    for step in (1, 2, 3, 4):
        tracker.log({"train/loss": float(step)}, step=step)
    tracker.finish("failed")
    lines = [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 2.0}]
    tracker = begun(tmp_path, resumed=True, lines=lines)
    for step in (3, 4, 5):
        tracker.log({"train/loss": 10.0 * step}, step=step)
    tracker.finish("done")
    (folder,) = (tmp_path / "runs").iterdir()
    found = [(event.step, event.value) for event in events(folder).Scalars("train/loss")]
    assert found == [(1, 1.0), (2, 2.0), (3, 30.0), (4, 40.0), (5, 50.0)]


def test_without_the_option_there_is_none() -> None:
    assert opened(TrackingSection()) is None
