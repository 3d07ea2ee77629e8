"""Checkpoints are whole or not there, and found again."""

from __future__ import annotations

from pathlib import Path

import pytest

from axolotl.errors import ModelError
from axolotl.training.checkpoints import (
    STATE_FILE,
    checkpoint_to_resume,
    list_checkpoints,
    staged,
    staging_folder,
)


def write(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / STATE_FILE).write_text("{}")


def save(run: Path, step: int, *, keep: int | None = None) -> None:
    with staged(run, is_writer=True) as finish:
        write(staging_folder(run) / f"checkpoint-{step}")
        finish(keep=keep)


def test_oldest_are_removed_by_number_not_by_name(tmp_path: Path) -> None:
    for step in (8, 9, 10, 100):
        save(tmp_path, step, keep=2)
    assert [p.name for p in list_checkpoints(tmp_path)] == ["checkpoint-10", "checkpoint-100"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-100"]


def test_an_interrupted_save_leaves_nothing(tmp_path: Path) -> None:
    save(tmp_path, 1)
    with pytest.raises(RuntimeError, match="killed"), staged(tmp_path, is_writer=True):
        write(staging_folder(tmp_path) / "checkpoint-2")
        raise RuntimeError("killed")
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-1"]


def test_what_a_kill_left_staged_is_no_checkpoint_and_is_cleaned(tmp_path: Path) -> None:
    write(staging_folder(tmp_path) / "checkpoint-7")
    assert list_checkpoints(tmp_path) == []
    save(tmp_path, 8)
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-8"]


def test_saving_the_same_step_again_replaces_it(tmp_path: Path) -> None:
    save(tmp_path, 3)
    (tmp_path / "checkpoint-3" / "old").touch()
    save(tmp_path, 3)
    assert [p.name for p in (tmp_path / "checkpoint-3").iterdir()] == [STATE_FILE]


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
