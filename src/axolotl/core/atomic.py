"""Files and folders that are either whole or not there.

Everything is written under a temporary name beside its place and renamed at the end, so a killed
run leaves nothing behind that a later run would take for a finished result.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from axolotl.errors import AxolotlError, EnvironmentFault

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")
_TORCH_WRITE_FAILED = ("unexpected pos", "PytorchStreamWriter failed")
_MAKE_ROOM = "free some space, or choose another folder"


@contextmanager
def disk_faults(place: Path) -> Iterator[None]:
    """Turn what the file system refuses into an `EnvironmentFault` that names `place`.

    Also where a library says it in its own words: safetensors and tokenizers put the number of the
    system's error into a text, torch says only that a file came out shorter than it was written.

    Raises:
        EnvironmentFault: disk full, no permission, or a file where a folder must be.
    """
    try:
        yield
    except AxolotlError:
        raise
    except Exception as error:
        fault = _fault(error)
        if fault is None:
            raise
        what, hint = fault
        raise EnvironmentFault(what, where=str(place), hint=hint) from error


def _fault(error: Exception) -> tuple[str, str] | None:
    """What is wrong and what helps; None where the error is not the disk's."""
    if isinstance(error, OSError):
        number = error.errno
    elif match := _SYSTEM_ERROR.search(str(error)):
        number = int(match[1])
    elif isinstance(error, RuntimeError) and any(x in str(error) for x in _TORCH_WRITE_FAILED):
        return "a file could not be written whole: no space left on the disk, it seems", _MAKE_ROOM
    else:
        return None
    if number in _DISK_FULL:
        return "no space left on the disk", _MAKE_ROOM
    if number in _FORBIDDEN:
        return "cannot be written", "choose a folder that you may write to"
    if number in (errno.ENOTDIR, errno.EEXIST):
        return "a file stands where a folder is needed", "move it, or choose another name"
    return None


def ensure_folder(folder: Path) -> Path:
    """Make `folder` and prove that it can be written to.

    Raises:
        EnvironmentFault: it cannot be made or written to.
    """
    with disk_faults(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError as error:  # the file system below makes no folders, as /proc
            raise PermissionError(errno.EPERM, "no folder can be made") from error
        with tempfile.TemporaryFile(dir=folder):
            return folder


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Give a temporary folder beside `target`; on success it becomes `target`, else it is removed.

    A folder that stands at `target` already is replaced.

    Raises:
        EnvironmentFault: disk full or not writable.
    """
    with disk_faults(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            yield work
            work.chmod(0o777 & ~_umask())
            put_folder(work, target)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def sync(out: IO[Any]) -> None:
    """Have on the disk what was written to an open file."""
    out.flush()
    os.fsync(out.fileno())


def sync_folder(folder: Path) -> None:
    """Have on the disk which files a folder holds."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def put_folder(work: Path, target: Path) -> None:
    """Make the folder `work` stand at `target`; one that stands there already is replaced."""
    if not target.exists():
        work.rename(target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
    target.rename(old / "old")
    work.rename(target)
    shutil.rmtree(old)


def write_atomic(target: Path, text: str) -> None:
    """Write `text` as UTF-8 to `target`, whole or not at all.

    Raises:
        EnvironmentFault: disk full or not writable.
    """
    with disk_faults(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        work = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                out.write(text)
                sync(out)
            work.chmod(0o666 & ~_umask())
            work.replace(target)
        finally:
            work.unlink(missing_ok=True)


def write_json(target: Path, content: Mapping[str, Any]) -> None:
    """Write `content` as indented JSON, whole or not at all."""
    text = json.dumps(content, indent=2, ensure_ascii=False, default=str)
    write_atomic(target, text + "\n")


def usual_permissions(folder: Path) -> None:
    """Give all files those of any new file: safetensors lets nobody but the owner read its own."""
    mode = 0o666 & ~_umask()
    for file in folder.rglob("*"):
        if file.is_file():
            file.chmod(mode)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
