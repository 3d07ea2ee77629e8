"""One process at a time: a lock on a file, which a killed process does not hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from axolotl.core.atomic import disk_faults
from axolotl.errors import EnvironmentFault


@contextmanager
def alone(lock: Path, otherwise: EnvironmentFault) -> Iterator[None]:
    """Keep other processes out while the body runs.

    Args:
        lock: The file to lock; its folder is made.
        otherwise: Raised where another process is in.

    Raises:
        EnvironmentFault: that, or the disk is full or not to be written to.
    """
    held = FileLock(lock)
    with disk_faults(lock.parent):
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            held.acquire(timeout=0)
        except Timeout as error:
            raise otherwise from error
    try:
        yield
    finally:
        held.release()
