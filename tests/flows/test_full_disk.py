"""A disk that is really full: a small file system in memory, filled by the run or beside it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from axolotl import api
from axolotl.errors import EnvironmentFault
from axolotl.training import checkpoints
from axolotl.training.callbacks.interrupt import StopOnSignal
from axolotl.training.checkpoint_files import damage, step_of
from tests.flows.test_training import assert_same_bits, assert_same_metrics

Options = Callable[..., dict[str, Any]]
MEBIBYTE = 1 << 20


def mount(folder: Path, size: int, *, again: bool = False) -> bool:
    options = f"{'remount,' if again else ''}size={size}"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that holds about two checkpoints of the tiny model."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mount(folder, 4 * MEBIBYTE):
        pytest.skip("only root may mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all the room that is left."""
    filler = folder / "filler"
    with filler.open("ab", buffering=0) as out:
        try:
            while True:
                out.write(bytes(4096))
        except OSError:
            return filler


def assert_resumes(options: dict[str, Any], disk: Path, whole: Path, said: str) -> None:
    """The message names the newest checkpoint, which is whole, and the run goes on from it."""
    run = Path(options["output_dir"])
    newest = checkpoints.list_checkpoints(run)[-1]
    assert damage(newest) is None
    assert f"{newest} is whole" in said
    assert "no space left" in said
    assert not (run / ".saving").exists()
    (disk / "filler").unlink(missing_ok=True)
    assert mount(disk, 100 * MEBIBYTE, again=True)
    api.train(options | {"resume_from_checkpoint": True})
    assert_same_bits(run, whole)
    assert_same_metrics(run, whole)


@pytest.fixture
def whole(tiny_options: Options, tmp_path: Path) -> dict[str, Any]:
    """Options of a run, which has been done once with room enough, in `whole`."""
    options = tiny_options(max_steps=28, val_set_size=0, save_total_limit=0, save_steps=4)
    options |= {"sample_packing": False, "micro_batch_size": 2}
    api.train(options | {"output_dir": str(tmp_path / "whole")})
    return options


def test_at_a_checkpoint(whole: dict[str, Any], disk: Path, tmp_path: Path) -> None:
    options = whole | {"output_dir": str(disk / "out")}
    with pytest.raises(EnvironmentFault) as caught:
        api.train(options)
    assert step_of(checkpoints.list_checkpoints(disk / "out")[-1]) < 28
    assert_resumes(options, disk, tmp_path / "whole", str(caught.value))


def test_at_a_line_of_the_metrics(
    whole: dict[str, Any], disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = whole | {"output_dir": str(disk / "out"), "save_steps": 1, "save_total_limit": 1}
    end_step = StopOnSignal.on_step_end

    def filled(self: StopOnSignal, args: Any, state: Any, control: Any, **more: Any) -> None:
        end_step(self, args, state, control, **more)
        if state.global_step >= 3:
            fill(disk)
        control.should_save = control.should_save and state.global_step < 3

    with monkeypatch.context() as patch:
        patch.setattr(StopOnSignal, "on_step_end", filled)
        with pytest.raises(EnvironmentFault) as caught:
            api.train(options)
    assert "metrics.jsonl" in str(caught.value)
    assert_resumes(options, disk, tmp_path / "whole", str(caught.value))


def test_at_the_result(
    whole: dict[str, Any], disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = whole | {"output_dir": str(disk / "out"), "save_total_limit": 1}
    ended = StopOnSignal.on_train_end

    def filled(self: StopOnSignal, args: Any, state: Any, control: Any, **more: Any) -> None:
        ended(self, args, state, control, **more)
        fill(disk)

    with monkeypatch.context() as patch:
        patch.setattr(StopOnSignal, "on_train_end", filled)
        with pytest.raises(EnvironmentFault) as caught:
            api.train(options)
    assert not (disk / "out" / "run.json").exists()
    assert not (disk / "out" / "model.safetensors").exists()
    assert_resumes(options, disk, tmp_path / "whole", str(caught.value))
