"""Checkpoints `checkpoint-N`: whole or not there, counted, set aside, found again."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from axolotl.core.atomic import disk_faults
from axolotl.core.console import note
from axolotl.errors import ModelError
from axolotl.training.checkpoint_files import damage

_NAME = re.compile(r"checkpoint-(\d+)")
_ASIDE = "earlier-checkpoints"
_WHERE = "resume_from_checkpoint"


class Finish(Protocol):
    """Makes what was staged a checkpoint and removes the oldest beyond `keep`."""

    def __call__(self, *, keep: int | None, spare: Path | None = None) -> None:
        """Finish, and keep `keep` checkpoints, the newest and `spare`; None keeps all."""
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

    def finish(*, keep: int | None, spare: Path | None = None) -> None:
        if not is_writer:
            return
        written = set()
        for folder in list_checkpoints(work):
            target = run_folder / folder.name
            if target.exists():
                _remove(target)
            folder.rename(target)
            written.add(target)
        if keep:
            older = [path for path in list_checkpoints(run_folder) if path not in written]
            removable = [path for path in older if path != spare]
            for old in removable[: max(0, len(older) + len(written) - keep)]:
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
    """Folders `checkpoint-N`, damaged ones too, the oldest first."""
    if not run_folder.is_dir():
        return []
    return sorted(
        (path for path in run_folder.iterdir() if _NAME.fullmatch(path.name) and path.is_dir()),
        key=_number,
    )


def set_aside(run_folder: Path, *, resume: Path | None) -> None:
    """Move the checkpoints that are not of this run's past out of its way, and say so.

    A run that starts anew has no past; one that goes on from `checkpoint-N` of this folder has
    those up to N. The others would take the place of newer ones at the next resume.

    Args:
        run_folder: The run's output folder.
        resume: The checkpoint that the run goes on from.

    Raises:
        EnvironmentFault: not writable.
    """
    known = list_checkpoints(run_folder)
    past = -1
    if resume is not None and resume.resolve() in [path.resolve() for path in known]:
        past = _number(resume.resolve())
    foreign = [path for path in known if _number(path) > past]
    if not foreign:
        return
    with disk_faults(run_folder):
        count = 1
        while (aside := run_folder / f"{_ASIDE}-{count}").exists():
            count += 1
        aside.mkdir()
        for path in reversed(foreign):
            path.rename(aside / path.name)
    names = ", ".join(path.name for path in foreign)
    if past >= 0:
        note(f"moved to {aside}: {names}, which come after {resume}")
    else:
        note(
            f"moved to {aside}: {names} of an earlier run "
            "(--auto_resume_from_checkpoints would have gone on from it)"
        )


def checkpoint_to_resume(
    run_folder: Path, *, asked: str | bool | None, automatic: bool
) -> Path | None:
    """The checkpoint that a run is to go on from, or None for a new run.

    Args:
        run_folder: The run's output folder.
        asked: `resume_from_checkpoint`: a folder, or true for the newest of the run folder.
        automatic: `auto_resume_from_checkpoints`: the newest whole one if there is one.

    Raises:
        ModelError: a checkpoint was asked for and there is none, or it is damaged.
    """
    known = list_checkpoints(run_folder)
    if isinstance(asked, str):
        if not Path(asked).is_dir():
            names = ", ".join(str(path) for path in known) or "none"
            raise ModelError(
                f"'{asked}' is no checkpoint",
                where=_WHERE,
                hint=f"checkpoints in '{run_folder}': {names}",
            )
        return _checked(Path(asked), others=known)
    if asked:
        if not known:
            raise ModelError(
                f"'{run_folder}' holds no checkpoint to resume from",
                where=_WHERE,
                hint="leave it out to start anew, or use auto_resume_from_checkpoints",
            )
        return _checked(known[-1], others=known)
    return _newest_whole(known) if automatic else None


def _checked(folder: Path, *, others: list[Path]) -> Path:
    found = damage(folder)
    if found is None:
        return folder
    whole = next(
        (path for path in reversed(others) if path != folder and damage(path) is None), None
    )
    raise ModelError(
        f"the checkpoint '{folder}' cannot be used: {found}",
        where=_WHERE,
        hint=f"the newest whole one: --resume_from_checkpoint {whole}"
        if whole
        else "there is no whole one; leave it out to start anew",
    )


def _newest_whole(known: list[Path]) -> Path | None:
    for folder in reversed(known):
        found = damage(folder)
        if found is None:
            return folder
        note(f"skipped the checkpoint {folder}: {found}")
    return None


def _number(folder: Path) -> int:
    match = _NAME.fullmatch(folder.name)
    return int(match[1]) if match else -1


def _remove(folder: Path) -> None:
    """Take the name away first: a kill while deleting leaves no half checkpoint behind."""
    doomed = folder.with_name(f".{folder.name}.removed")
    shutil.rmtree(doomed, ignore_errors=True)
    folder.rename(doomed)
    shutil.rmtree(doomed)
