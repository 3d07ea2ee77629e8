"""Checkpoints `checkpoint-N`: whole or not there, counted, found again."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from axolotl.core.atomic import disk_faults
from axolotl.errors import ModelError

_NAME = re.compile(r"checkpoint-(\d+)")
STATE_FILE = "trainer_state.json"


class Finish(Protocol):
    """Makes what was staged a checkpoint and removes the oldest beyond `keep`."""

    def __call__(self, *, keep: int | None) -> None:
        """Finish, and keep the newest `keep` checkpoints; None keeps all."""
        ...


def staging_folder(run_folder: Path) -> Path:
    """Where a checkpoint stands while it is being written."""
    return run_folder / ".saving"


@contextmanager
def staged(run_folder: Path, *, is_writer: bool) -> Iterator[Finish]:
    """Write a checkpoint aside; only `finish` gives it its name.

    Args:
        run_folder: The run's output folder.
        is_writer: Whether this process is the one that renames and removes.

    Raises:
        EnvironmentFault: disk full or not writable.
    """
    work = staging_folder(run_folder)

    def finish(*, keep: int | None) -> None:
        if not is_writer:
            return
        for folder in list_checkpoints(work):
            target = run_folder / folder.name
            if target.exists():
                _remove(target)
            folder.rename(target)
        if keep:
            for old in list_checkpoints(run_folder)[:-keep]:
                _remove(old)

    with disk_faults(run_folder):
        if is_writer:
            shutil.rmtree(work, ignore_errors=True)
        try:
            yield finish
        finally:
            if is_writer:
                shutil.rmtree(work, ignore_errors=True)


def list_checkpoints(run_folder: Path) -> list[Path]:
    """Folders `checkpoint-N` with a trainer state, the oldest first."""
    if not run_folder.is_dir():
        return []
    found = [
        (int(match[1]), path)
        for path in run_folder.iterdir()
        if (match := _NAME.fullmatch(path.name)) and (path / STATE_FILE).is_file()
    ]
    return [path for _, path in sorted(found)]


def checkpoint_to_resume(
    run_folder: Path, *, asked: str | bool | None, automatic: bool
) -> Path | None:
    """The checkpoint that a run is to go on from, or None for a new run.

    Args:
        run_folder: The run's output folder.
        asked: `resume_from_checkpoint`: a folder, or true for the newest of the run folder.
        automatic: `auto_resume_from_checkpoints`: the newest if there is one.

    Raises:
        ModelError: a checkpoint was asked for and there is none.
    """
    known = list_checkpoints(run_folder)
    if isinstance(asked, str):
        folder = Path(asked)
        if not (folder / STATE_FILE).is_file():
            names = ", ".join(str(path) for path in known) or "none"
            raise ModelError(
                f"'{asked}' is no checkpoint",
                where="resume_from_checkpoint",
                hint=f"checkpoints in '{run_folder}': {names}",
            )
        return folder
    if asked and not known:
        raise ModelError(
            f"'{run_folder}' holds no checkpoint to resume from",
            where="resume_from_checkpoint",
            hint="leave it out to start anew, or use auto_resume_from_checkpoints",
        )
    return known[-1] if known and (asked or automatic) else None


def _remove(folder: Path) -> None:
    """Take the name away first: a kill while deleting leaves no half checkpoint behind."""
    doomed = folder.with_name(f".{folder.name}.removed")
    shutil.rmtree(doomed, ignore_errors=True)
    folder.rename(doomed)
    shutil.rmtree(doomed)
