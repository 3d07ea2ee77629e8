"""Copies of remote files in the cache: fetched once for each version, whole or not at all.

A copy lies in a folder named by the address and the version that the other side gives the file (its
tag, its time, its size), so a file that has changed is fetched anew.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from axolotl.config.remote import shown_url
from axolotl.core.atomic import disk_faults, write_json
from axolotl.core.cache import cache_folder, made_once
from axolotl.core.console import note, note_once, progress
from axolotl.core.hashing import hash_file, hash_values
from axolotl.errors import DataError

BIG_BYTES = 20_000_000
"""From this size on, a bar shows how far fetching is."""

Advance = Callable[[int], None]
Write = Callable[[Path, Advance], None]


def shown(url: str) -> str:
    """An address for messages, without what may hold a secret.

    >>> shown("ftp://me:password@host/a.jsonl"), shown("https://host/a.jsonl?token=1")
    ('ftp://host/a.jsonl', 'https://host/a.jsonl')
    """
    if re.match(r"https?://", url, re.IGNORECASE):
        return shown_url(url)
    return re.sub(r"^(\w[\w+.-]*://)[^/@:]*:[^/@]*@", r"\1", url)


def fetched(url: str, version: Any, name: str, *, size: int | None, write: Write) -> Path:
    """The copy of a remote file, which is fetched if this version of it is not there yet.

    Args:
        url: What names the file.
        version: What the other side says that changes with the content; None where it says nothing:
            the file is then fetched every time.
        name: Its name; suffixes tell what it is.
        size: How many bytes it must have, where that is known.
        write: Writes the content into a file that it is given, and tells how many bytes came.

    Raises:
        DataError: it came short.
        EnvironmentFault: the disk is full or not writable.
    """
    name = re.sub(r"[^\w.=-]+", "_", name.rpartition("/")[2])[-120:].lstrip(".") or "data"

    def make(folder: Path) -> None:
        with _bar(shown(url), size) as advance:
            write(folder / name, advance)
        came = (folder / name).stat().st_size
        if size is not None and came != size:
            raise came_short(shown(url), came, size)

    if version is not None:
        return made_once(_folder(url, version), make) / name
    note_once(f"{shown(url)}: nothing tells whether it has changed, so it is fetched every time")
    root = cache_folder("remote")
    with disk_faults(root):
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root) as work:
            make(Path(work))
            content = hash_file(Path(work, name))

            def move(to: Path) -> None:
                Path(work, name).rename(to / name)

            return made_once(_folder(url, content), move) / name


def came_short(label: str, came: int, size: int) -> DataError:
    """What to say of a file that is not whole."""
    return DataError(f"only {came:,} of {size:,} bytes came", where=label, hint="try it again")


def remember(url: str, copy: Path) -> None:
    """Note which copy of an address was fetched last."""
    write_json(_note_of(url), {"address": shown(url), "copy": str(copy)})


def last_copy(url: str) -> Path | None:
    """The copy of an address that was fetched last, if it is still there."""
    try:
        copy = Path(json.loads(_note_of(url).read_text("utf-8"))["copy"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return copy if copy.is_file() else None


def _note_of(url: str) -> Path:
    return cache_folder("remote", f"{hash_values(url)[:32]}.json")


def _folder(url: str, version: Any) -> Path:
    return cache_folder("remote", hash_values([url, version])[:32])


@contextmanager
def _bar(label: str, size: int | None) -> Iterator[Advance]:
    if size is None or size < BIG_BYTES:
        note(f"fetching {label}")
        yield lambda _: None
        return
    with progress("MB") as bars:
        task = bars.add_task(f"fetching {label}", total=size / 1e6, info="")
        yield lambda count: bars.advance(task, count / 1e6)
