"""Where downloaded and converted files are kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from axolotl.core.atomic import atomic_folder, disk_faults


def cache_folder(*parts: str) -> Path:
    """A folder under `$XDG_CACHE_HOME/axolotl` (`~/.cache/axolotl`); it need not exist yet."""
    root = os.environ.get("XDG_CACHE_HOME")
    return Path(root or Path.home() / ".cache").joinpath("axolotl", *parts)


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """`folder`, filled by `make` if it is not there yet; other processes wait meanwhile.

    Args:
        folder: The folder; it appears whole or not at all.
        make: Fills the temporary folder that it is given.

    Raises:
        EnvironmentFault: disk full or not writable.
    """
    with disk_faults(folder), lock_beside(folder):
        if not folder.is_dir():
            with atomic_folder(folder) as work:
                make(work)
    return folder


@contextmanager
def lock_beside(place: Path) -> Iterator[None]:
    """While the body runs, other processes that ask for the same wait."""
    from filelock import FileLock

    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{place}.lock"):
        yield
