"""Checkpoints are whole or not there, and found again."""

from __future__ import annotations

from pathlib import Path

import pytest

from axolotl.errors import EnvironmentFault, ModelError
from axolotl.training.checkpoint_files import damage
from axolotl.training.checkpoints import (
    checkpoint_to_resume,
    list_checkpoints,
    set_aside,
    staged,
    staging_folder,
)
from tests.training.made import write_checkpoint


def save(run: Path, step: int, *, keep: int | None = None) -> None:
    with staged(run, is_writer=True) as finish:
        write_checkpoint(staging_folder(run) / f"checkpoint-{step}")
        finish(keep=keep)


def test_oldest_are_removed_by_number_not_by_name(tmp_path: Path) -> None:
    for step in (8, 9, 10, 100):
        save(tmp_path, step, keep=2)
    assert [p.name for p in list_checkpoints(tmp_path)] == ["checkpoint-10", "checkpoint-100"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-100"]


def test_the_limit_never_takes_what_was_just_written(tmp_path: Path) -> None:
    for step in (50, 60):
        save(tmp_path, step)
    save(tmp_path, 5, keep=2)
    assert [p.name for p in list_checkpoints(tmp_path)] == ["checkpoint-5", "checkpoint-60"]
    save(tmp_path, 6, keep=1)
    assert [p.name for p in list_checkpoints(tmp_path)] == ["checkpoint-6"]


def test_the_limit_never_takes_the_one_to_be_spared(tmp_path: Path) -> None:
    best = tmp_path / "checkpoint-1"
    for step, kept in ((1, [1]), (2, [1, 2]), (3, [1, 3]), (4, [1, 4])):
        with staged(tmp_path, is_writer=True) as finish:
            write_checkpoint(staging_folder(tmp_path) / f"checkpoint-{step}")
            finish(keep=2, spare=best)
        assert [p.name for p in list_checkpoints(tmp_path)] == [f"checkpoint-{n}" for n in kept]


def test_a_new_run_moves_all_checkpoints_out_of_its_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_aside(tmp_path, resume=None)
    assert list(tmp_path.iterdir()) == []
    for count in (1, 2):
        save(tmp_path, 4)
        save(tmp_path, 30)
        set_aside(tmp_path, resume=None)
        aside = tmp_path / f"earlier-checkpoints-{count}"
        assert [p.name for p in list_checkpoints(aside)] == ["checkpoint-4", "checkpoint-30"]
        assert list_checkpoints(tmp_path) == []
        said = " ".join(capsys.readouterr().err.split())
        assert f"moved to {aside}: checkpoint-4, checkpoint-30 of an earlier run" in said


def test_a_resume_keeps_only_its_own_past(tmp_path: Path) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    for step in (3, 9, 12):
        save(run, step)
    save(other, 9)
    set_aside(run, resume=run / "." / "checkpoint-9")
    assert [p.name for p in list_checkpoints(run)] == ["checkpoint-3", "checkpoint-9"]
    assert [p.name for p in list_checkpoints(run / "earlier-checkpoints-1")] == ["checkpoint-12"]
    set_aside(run, resume=other / "checkpoint-9")
    assert list_checkpoints(run) == []
    assert [p.name for p in list_checkpoints(other)] == ["checkpoint-9"]


@pytest.mark.parametrize(
    "name",
    ["trainer_state.json", "optimizer.pt", "scheduler.pt", "rng_state.pth", "model.safetensors"],
)
@pytest.mark.parametrize("cut", [False, True], ids=["missing", "cut"])
def test_a_checkpoint_that_lacks_something_is_not_used(
    tmp_path: Path, name: str, cut: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    for step in (5, 12):
        save(tmp_path, step)
    newest, whole = tmp_path / "checkpoint-12", tmp_path / "checkpoint-5"
    content = (newest / name).read_bytes()
    (newest / name).unlink()
    if cut:
        (newest / name).write_bytes(content[: len(content) // 2])
    assert name in str(damage(newest))
    for asked in (True, str(newest)):
        with pytest.raises(ModelError) as caught:
            checkpoint_to_resume(tmp_path, asked=asked, automatic=False)
        assert name in caught.value.what
        assert f"--resume_from_checkpoint {whole}" in str(caught.value.hint)
    assert checkpoint_to_resume(tmp_path, asked=None, automatic=True) == whole
    said = " ".join(capsys.readouterr().err.split())
    assert f"skipped the checkpoint {newest}" in said


def test_a_disk_that_fills_up_leaves_the_older_checkpoints(tmp_path: Path) -> None:
    save(tmp_path, 1, keep=1)
    with pytest.raises(EnvironmentFault, match="no space left"), staged(tmp_path, is_writer=True):
        write_checkpoint(staging_folder(tmp_path) / "checkpoint-2")
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534")
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-1"]
    assert damage(tmp_path / "checkpoint-1") is None


def test_an_interrupted_save_leaves_nothing(tmp_path: Path) -> None:
    save(tmp_path, 1)
    with pytest.raises(RuntimeError, match="killed"), staged(tmp_path, is_writer=True):
        write_checkpoint(staging_folder(tmp_path) / "checkpoint-2")
        raise RuntimeError("killed")
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-1"]


def test_what_a_kill_left_staged_is_no_checkpoint_and_is_cleaned(tmp_path: Path) -> None:
    write_checkpoint(staging_folder(tmp_path) / "checkpoint-7")
    assert list_checkpoints(tmp_path) == []
    save(tmp_path, 8)
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-8"]


def test_saving_the_same_step_again_replaces_it(tmp_path: Path) -> None:
    save(tmp_path, 3)
    (tmp_path / "checkpoint-3" / "old").touch()
    save(tmp_path, 3)
    assert not (tmp_path / "checkpoint-3" / "old").exists()
    assert damage(tmp_path / "checkpoint-3") is None


def test_which_checkpoint_a_run_goes_on_from(tmp_path: Path) -> None:
    assert checkpoint_to_resume(tmp_path, asked=None, automatic=True) is None
    with pytest.raises(ModelError, match="holds no checkpoint to resume from"):
        checkpoint_to_resume(tmp_path, asked=True, automatic=False)
    save(tmp_path, 5)
    save(tmp_path, 12)
    newest, oldest = tmp_path / "checkpoint-12", tmp_path / "checkpoint-5"
    assert checkpoint_to_resume(tmp_path, asked=None, automatic=False) is None
    assert checkpoint_to_resume(tmp_path, asked=None, automatic=True) == newest
    assert checkpoint_to_resume(tmp_path, asked=True, automatic=False) == newest
    assert checkpoint_to_resume(tmp_path, asked=str(oldest), automatic=True) == oldest
    with pytest.raises(ModelError, match="checkpoint-5"):
        checkpoint_to_resume(tmp_path, asked=str(tmp_path / "checkpoint-6"), automatic=False)
