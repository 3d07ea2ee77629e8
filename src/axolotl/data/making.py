"""One store for these rows: found, waited for, or made."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock, Timeout

from axolotl.core.atomic import atomic_folder, disk_faults, ensure_folder
from axolotl.core.console import note
from axolotl.core.hashing import hash_values
from axolotl.data.batches import Part
from axolotl.data.build import fill
from axolotl.data.encoder import Encoder
from axolotl.data.store import STORE_VERSION, Damaged, StoreFiles, StoreWriter, open_store
from axolotl.data.tokenize import Limits


def store_key(parts: Sequence[Part], encoder: Encoder, limits: Limits) -> str:
    """Name of the store that holds these rows: equal exactly when the rows must be equal.

    The names of the files and the size of the evaluation set take no part, and the seed only with
    `shards`.
    """
    return hash_values(
        {
            "version": STORE_VERSION,
            "tokenizer": encoder.identity(),
            **asdict(limits),
            "parts": [part.identity() for part in parts],
        }
    )[:32]


def find_or_build(
    folder: Path, parts: Sequence[Part], encoder: Encoder, limits: Limits
) -> tuple[StoreFiles, bool]:
    """The store of these rows, made where it is not there yet.

    Args:
        folder: Its folder, which is named after its key.
        parts: Files and their formats, in order.
        encoder: The tokenizer.
        limits: How long rows may be.

    Returns:
        The store, and whether it was there already.

    Raises:
        DataError: a row cannot be used, or none is left.
        EnvironmentFault: the disk is full or not writable.
    """
    if (files := _whole(folder)) is not None:
        return files, True
    ensure_folder(folder.parent)
    with _alone(folder):
        # Whoever held the lock before may have done the work.
        if (files := _whole(folder)) is not None:
            return files, True
        if folder.exists():
            note(f"the prepared data in {folder} is not whole (an interrupted run?): made again")
        _build(folder, parts, encoder, limits)
        return open_store(folder), False


def _whole(folder: Path) -> StoreFiles | None:
    try:
        return open_store(folder)
    except Damaged:
        return None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes from building the same store; a lock of a dead process does not hold."""
    lock = FileLock(folder.parent / f".{folder.name}.lock")
    with disk_faults(folder.parent):
        try:
            lock.acquire(timeout=0.5)
        except Timeout:
            note(f"another process prepares the same data; waiting for {folder}")
            lock.acquire()
    try:
        for left in folder.parent.glob(f".{folder.name}.*/"):  # of a run that was killed
            shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        lock.release()


def _build(folder: Path, parts: Sequence[Part], encoder: Encoder, limits: Limits) -> None:
    began = time.perf_counter()
    with atomic_folder(folder) as work:
        writer = StoreWriter(work, folder.name)
        try:
            facts = fill(writer, parts, encoder, limits)
        finally:
            writer.close()
        writer.finish(
            facts
            | {
                "inputs": [
                    {
                        "file": part.source.label,
                        "content": part.source.identity(),
                        "format": part.bound.identity() if part.bound else None,
                        "shards": part.shard.shards if part.shard else None,
                    }
                    for part in parts
                ],
                "tokenizer": encoder.identity(),
                **asdict(limits),
                "versions": {p: version(p) for p in ("axolotl", "tokenizers", "transformers")},
                "seconds": round(time.perf_counter() - began, 3),
            }
        )
