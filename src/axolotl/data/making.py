"""One store for these rows: found, waited for, or made.

A preparation that was interrupted goes on behind its last whole shard.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from axolotl.core.atomic import disk_faults, ensure_folder, put_folder, sync_folder, write_json
from axolotl.core.console import note
from axolotl.core.garbage import loaded_left_alone
from axolotl.core.hashing import hash_values
from axolotl.core.units import bytes_in_words
from axolotl.data import batch
from axolotl.data.batches import Part
from axolotl.data.build import fill
from axolotl.data.counts import FileCounts
from axolotl.data.encoder import Encoder
from axolotl.data.push import StoreExchange
from axolotl.data.report import source_reports
from axolotl.data.rows import row_place
from axolotl.data.store import STORE_VERSION, Damaged, StoreFiles, open_store
from axolotl.data.tokenize import Limits
from axolotl.data.writer import StoreWriter
from axolotl.errors import DataError, EnvironmentFault


def store_key(parts: Sequence[Part], encoder: Encoder, limits: Limits) -> str:
    """Name of the store that holds these rows: equal exactly when the rows must be equal.

    The names of the files and the size of the evaluation set take no part, and the seed only with
    `shards`.
    """
    return hash_values(
        {
            "version": STORE_VERSION,
            "tokenizer": encoder.identity(),
            **limits.identity(),
            "parts": [part.identity() for part in parts],
        }
    )[:32]


def find_or_build(
    folder: Path,
    parts: Sequence[Part],
    encoder: Encoder,
    limits: Limits,
    *,
    skip_bad_rows: int = 0,
    remote: StoreExchange | None = None,
) -> tuple[StoreFiles, bool]:
    """The store of these rows, made where it is not there yet.

    Args:
        folder: Its folder, which is named after its key.
        parts: Files and their formats, in order.
        encoder: The tokenizer.
        limits: How long rows may be.
        skip_bad_rows: How many rows that cannot be used are left out.
        remote: Where stores are looked for before one is made, and sent afterwards.

    Returns:
        The store, and whether it was there already.

    Raises:
        DataError: a row cannot be used, or none is left.
        EnvironmentFault: the disk is full or not writable.
    """
    files, from_cache = _whole(folder), True
    if files is None:
        ensure_folder(folder.parent)
        with _alone(folder):
            # Whoever held the lock before may have done the work.
            if (files := _whole(folder)) is None:
                if folder.exists():
                    note(f"the prepared data in {folder} is not whole: made again")
                if remote is not None and remote.fetch(folder):
                    files = _whole(folder)
                    if files is None:
                        note("the prepared data that was fetched is not whole: made here")
                if files is None:
                    _build(folder, parts, encoder, limits, skip_bad_rows)
                    files, from_cache = open_store(folder), False
    elif _work_of(folder).exists():  # a run was killed between its last two steps
        shutil.rmtree(_work_of(folder), ignore_errors=True)
    _check_bad(files, parts, skip_bad_rows)
    if remote is not None and not remote.sent(folder):
        with _alone(folder):
            remote.push(folder)
    return files, from_cache


def _whole(folder: Path) -> StoreFiles | None:
    try:
        return open_store(folder)
    except Damaged:
        return None


def _check_bad(files: StoreFiles, parts: Sequence[Part], skip_bad_rows: int) -> None:
    """A store may have been made when more bad rows were put up with."""
    counts = file_counts(files)
    found = sum(file.total("bad") for file in counts)
    if found <= skip_bad_rows:
        return
    part, file = next(pair for pair in zip(parts, counts, strict=True) if pair[1].total("bad"))
    what, group = min(file.groups["bad"].items(), key=lambda named: named[1].rows[0])
    rows = "1 row that cannot be used" if found == 1 else f"{found:,} rows that cannot be used"
    first = "" if found == 1 else "; the first"
    raise DataError(
        f"{rows}, and skip_bad_rows is {skip_bad_rows:,}{first}: {what}",
        where=row_place(part.source.label, group.rows[0]),
        hint=f"mend them, or write `skip_bad_rows: {found}`",
    )


def file_counts(files: StoreFiles) -> list[FileCounts]:
    """What became of the source rows, file by file."""
    return [FileCounts.of_dict(content) for content in files.facts["counts"]]


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
            if left != _work_of(folder):
                shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        lock.release()


def _work_of(folder: Path) -> Path:
    """Where a store is made."""
    return folder.parent / f".{folder.name}.partial"


def _say_what_others_left(mine: Path) -> None:
    """Name what takes room and will only be gone on from under the settings of then."""
    for left in sorted(mine.parent.glob(".*.partial")):
        lock = FileLock(left.with_suffix(".lock"))
        if left == mine:
            continue
        try:
            lock.acquire(timeout=0)
        except Timeout:  # a run is at work there
            continue
        size = sum(file.stat().st_size for file in left.rglob("*.*"))
        lock.release()
        note(
            f"an interrupted preparation of other settings takes {bytes_in_words(size)} in {left}; "
            "remove it if they will not come back"
        )


def _build(
    folder: Path, parts: Sequence[Part], encoder: Encoder, limits: Limits, skip_bad_rows: int
) -> None:
    began = time.perf_counter()
    work = _work_of(folder)
    with _kept_when_cut_short(work), disk_faults(folder), loaded_left_alone():
        # Millions of small objects come and go while rows are read, and each time the garbage collector
        # would look through the libraries, too: about a twentieth of the time.
        borders = [batch.BATCH_ROWS, batch.BATCH_CHARACTERS, batch.BATCH_TOKENS]
        writer = StoreWriter(work, folder.name, borders)
        if writer.rows:
            note(f"an interrupted preparation goes on: {writer.rows:,} rows are there already")
        _say_what_others_left(work)
        try:
            counts = fill(writer, parts, encoder, limits, skip_bad_rows=skip_bad_rows)
        finally:
            writer.close()
        writer.finish(lambda rows: _facts(counts, rows, parts, encoder, limits))
        seconds = round(time.perf_counter() - began, 3)
        write_json(writer.folder / "timing.json", {"seconds": seconds, "rows_there": writer.found})
        sync_folder(writer.folder)
        put_folder(writer.folder, folder)
        sync_folder(folder.parent)
        shutil.rmtree(work, ignore_errors=True)


def _facts(
    counts: Sequence[FileCounts],
    rows: Any,
    parts: Sequence[Part],
    encoder: Encoder,
    limits: Limits,
) -> dict[str, Any]:
    reports = source_reports(counts, rows, parts, capacity_tokens=limits.capacity_tokens)
    return {
        "sources": [report.as_dict() for report in reports],
        "counts": [file.as_dict() for file in counts],
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
        **limits.identity(),
        "versions": {p: version(p) for p in ("axolotl", "tokenizers", "transformers")},
    }


@contextmanager
def _kept_when_cut_short(work: Path) -> Iterator[None]:
    """Keep what is done when there is no room or the user stops; a bad row would only come again."""
    try:
        yield
    except EnvironmentFault as fault:
        kept = _kept(work)
        hint = "; ".join(filter(None, [fault.hint, kept]))
        raise EnvironmentFault(fault.what, where=fault.where, hint=hint) from fault
    except KeyboardInterrupt:
        if kept := _kept(work):
            note(kept)
        raise
    except DataError:
        shutil.rmtree(work, ignore_errors=True)
        raise


def _kept(work: Path) -> str:
    shards = len(list(work.glob("shard-*.json")))
    if not shards:
        shutil.rmtree(work, ignore_errors=True)
        return ""
    return f"what is prepared so far stays in {work}, and the next start goes on from there"
