"""Tokenized rows on disk: written once with bounded memory, then memory-mapped.

A store is a folder `<dataset_prepared_path>/<key>`:

    data-00000.arrow …   shards of `input_ids`, `attention_mask`, `labels`
    rows.npy             per row: tokens, trained tokens, source file, source row, content hash,
                         checksum
    store.json           counts, reasons, hashes, and the size and checksum of every file above
    timing.json          how long it took
    state.json, dataset_info.json    so that `datasets.load_from_disk` opens the folder
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from axolotl.data.columns import as_numpy
from axolotl.data.eval_sets import EvalSets
from axolotl.data.tokenize import TokenRows
from axolotl.errors import DataError
from axolotl.records import TokenRow

STORE_VERSION = 4
WHOLE_BYTES = 2_000_000_000
"""Up to this size a store is read whole when it is opened: about 0.3 s."""
END_BYTES = 65_536
SCHEMA = pa.schema(
    [
        ("input_ids", pa.list_(pa.int32())),
        ("attention_mask", pa.list_(pa.int8())),
        ("labels", pa.list_(pa.int32())),
    ]
)
ROW_DTYPE = np.dtype(
    [
        ("tokens", "i4"),
        ("trained", "i4"),
        ("source", "i4"),
        ("row", "i8"),
        ("hash", "u8"),
        ("check", "u4"),
    ]
)


class Damaged(Exception):
    """A store that is not whole; says what is wrong."""


@dataclass(frozen=True)
class StoreFiles:
    """An opened store folder.

    Args:
        folder: The folder.
        facts: The content of `store.json`.
        rows: `ROW_DTYPE`, one entry per row, memory-mapped.
    """

    folder: Path
    facts: Mapping[str, Any]
    rows: np.ndarray


def open_store(folder: Path) -> StoreFiles:
    """Open a store and check that it is whole.

    Of a store beyond `WHOLE_BYTES` the sizes and the ends of the shards are checked here; its rows,
    as those of every store, are checked one by one when they are used.

    Raises:
        Damaged: a file is missing, cut or changed, or of another version.
    """
    try:
        facts = json.loads((folder / "store.json").read_text("utf-8"))
        if facts["version"] != STORE_VERSION or facts["key"] != folder.name:
            raise Damaged("store.json belongs to another store")
        whole = sum(expected["bytes"] for expected in facts["files"].values()) <= WHOLE_BYTES
        for name, expected in facts["files"].items():
            if not _is_unchanged(folder / name, expected, whole or name == "rows.npy"):
                raise Damaged(f"{name} is cut or changed")
        rows = np.load(folder / "rows.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"{type(error).__name__}: {error}") from error
    return StoreFiles(folder, facts, rows)


def _is_unchanged(file: Path, expected: Mapping[str, int], whole: bool) -> bool:
    if whole:
        found = fingerprint(file)
        return all(expected[name] == value for name, value in found.items())
    size = file.stat().st_size
    return size == expected["bytes"] and ends_checksum(file) == expected["ends_crc32"]


class TokenStore:
    """Rows of a store in a given order, memory-mapped.

    Args:
        folder: The store's folder.
        indices: int64: which rows of the folder, in which order.
        sets: Which of several sets each of these rows is of, where that matters.
        files: What the source files are called, in the order in which the store was made, where
            rows are to be named.
    """

    def __init__(
        self,
        folder: Path,
        indices: np.ndarray,
        *,
        sets: EvalSets | None = None,
        files: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.files = files
        self.indices = indices
        self.sets = sets
        facts = json.loads((folder / "store.json").read_text("utf-8"))
        rows = np.load(folder / "rows.npy", mmap_mode="r", allow_pickle=False)[indices]
        self.lengths: np.ndarray = np.ascontiguousarray(rows["tokens"], np.int32)
        """Tokens of each row, int32."""
        self._checks = np.ascontiguousarray(rows["check"])
        self.tokens = int(self.lengths.sum(dtype=np.int64))
        self.trained_tokens = int(rows["trained"].sum(dtype=np.int64))
        self._batches = [batch for name in facts["shards"] for batch in _batches(folder / name)]
        self._ends = np.cumsum([offsets.size - 1 for offsets, _, _ in self._batches])

    def __len__(self) -> int:
        return self.indices.size

    def __getitem__(self, index: int) -> TokenRow:
        """One row; the arrays are views of the file and cannot be written to.

        Raises:
            IndexError: there is no such row.
            DataError: the file has been damaged since it was written.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        row = int(self.indices[index])
        batch = int(np.searchsorted(self._ends, row, side="right"))
        offsets, ids, labels = self._batches[batch]
        at = row - (int(self._ends[batch - 1]) if batch else 0)
        span = slice(offsets[at], offsets[at + 1])
        found = TokenRow(ids[span], labels[span])
        if zlib.crc32(found.labels.data, zlib.crc32(found.input_ids.data)) != self._checks[index]:
            raise DataError(
                f"row {row + 1} of the prepared data is damaged",
                where=str(self.folder),
                hint="remove the folder; the next start prepares the data anew",
            )
        return found

    def __reduce__(self) -> tuple[partial[TokenStore], tuple[Path, np.ndarray]]:
        # A worker process maps the files itself.
        return partial(TokenStore, sets=self.sets, files=self.files), (self.folder, self.indices)


def _batches(shard: Path) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Offsets, ids and labels of every record batch of a shard."""
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    with pa.ipc.open_stream(pa.memory_map(str(shard))) as stream:
        for batch in stream:
            ids: Any = batch.column(0)
            labels: Any = batch.column(2)
            found.append((as_numpy(ids.offsets), as_numpy(ids.values), as_numpy(labels.values)))
    return found


def row_checks(rows: TokenRows) -> np.ndarray:
    """A checksum of the ids and labels of each row, uint32, shape (N,)."""
    ids, labels = rows.input_ids.data.cast("B"), rows.labels.data.cast("B")
    bounds = (rows.offsets * rows.input_ids.itemsize).tolist()
    crc32 = zlib.crc32
    found = [crc32(labels[a:b], crc32(ids[a:b])) for a, b in pairwise(bounds)]
    return np.array(found, np.uint32)


def fingerprint(file: Path) -> dict[str, int]:
    """Size and checksum of a file."""
    checksum = size = 0
    with file.open("rb") as stream:
        while piece := stream.read(1 << 20):
            checksum = zlib.crc32(piece, checksum)
            size += len(piece)
    return {"bytes": size, "crc32": checksum}


def ends_checksum(file: Path) -> int:
    """Checksum of the first and the last `END_BYTES` of a file."""
    with file.open("rb") as stream:
        checksum = zlib.crc32(stream.read(END_BYTES))
        stream.seek(-min(END_BYTES, file.stat().st_size), os.SEEK_END)
        return zlib.crc32(stream.read(), checksum)
