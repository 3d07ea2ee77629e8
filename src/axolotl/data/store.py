"""Tokenized rows on disk: written once with bounded memory, then memory-mapped.

A store is a folder `<dataset_prepared_path>/<key>`:

    data-00000.arrow …   shards of `input_ids`, `attention_mask`, `labels`
    rows.npy             per row: tokens, trained tokens, source file, source row, content hash
    store.json           counts, reasons, hashes, and the size and checksum of every file above
    state.json, dataset_info.json    so that `datasets.load_from_disk` opens the folder
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from axolotl.core.atomic import write_json
from axolotl.data.tokenize import TokenRows
from axolotl.records import TokenRow

STORE_VERSION = 2
SHARD_BYTES = 500_000_000
SCHEMA = pa.schema(
    [
        ("input_ids", pa.list_(pa.int32())),
        ("attention_mask", pa.list_(pa.int8())),
        ("labels", pa.list_(pa.int32())),
    ]
)
ROW_DTYPE = np.dtype(
    [("tokens", "i4"), ("trained", "i4"), ("source", "i4"), ("row", "i8"), ("hash", "u8")]
)


class StoreWriter:
    """Writes a store into a folder, batch by batch.

    Args:
        folder: An empty folder.
        key: The store's key.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._folder = folder
        self._key = key
        self._shards: list[str] = []
        self._sink: Any = None
        self._writer: Any = None
        self._infos: list[np.ndarray] = []

    def add(self, rows: TokenRows, *, source: int, source_rows: np.ndarray) -> None:
        """Write a batch.

        Args:
            rows: The rows.
            source: Number of the file they come from.
            source_rows: int64, shape (N,): row of that file that each comes from, from 1.
        """
        if not rows.origin.size:
            return
        info = np.empty(rows.origin.size, ROW_DTYPE)
        info["tokens"], info["trained"] = rows.lengths, rows.trained
        info["source"], info["row"] = source, source_rows
        info["hash"] = _row_hashes(rows)
        self._infos.append(info)
        if self._writer is None or self._sink.tell() > SHARD_BYTES:
            self._next_shard()
        assert self._writer is not None
        offsets = pa.array(rows.offsets.astype(np.int32))
        ones = np.ones(rows.input_ids.size, np.int8)
        columns = [
            pa.ListArray.from_arrays(offsets, pa.array(values))
            for values in (rows.input_ids, ones, rows.labels)
        ]
        self._writer.write_batch(pa.record_batch(columns, schema=SCHEMA))

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Close the shards and write what the store is.

        Args:
            facts: What `store.json` says besides: counts, hashes, versions.
        """
        self._close_shard()
        info = np.concatenate(self._infos) if self._infos else np.empty(0, ROW_DTYPE)
        np.save(self._folder / "rows.npy", info, allow_pickle=False)
        files = {name: _fingerprint(self._folder / name) for name in [*self._shards, "rows.npy"]}
        write_json(self._folder / "state.json", _state(self._key, self._shards))
        write_json(self._folder / "dataset_info.json", _dataset_info())
        head = {"version": STORE_VERSION, "key": self._key, "shards": self._shards}
        write_json(self._folder / "store.json", {**head, **facts, "files": files})

    def close(self) -> None:
        """Let go of an unfinished shard."""
        if self._writer is not None:
            self._close_shard()

    def _next_shard(self) -> None:
        self._close_shard()
        name = f"data-{len(self._shards):05d}.arrow"
        self._shards.append(name)
        self._sink = (self._folder / name).open("wb")
        self._writer = pa.ipc.new_stream(self._sink, SCHEMA)

    def _close_shard(self) -> None:
        if self._writer is None:
            return
        self._writer.close()
        self._sink.flush()
        os.fsync(self._sink.fileno())  # before the rename that makes the store visible
        self._sink.close()
        self._writer = self._sink = None


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
    """Open a store and check that it is whole, bytes included.

    Raises:
        Damaged: a file is missing, cut or changed, or of another version.
    """
    try:
        facts = json.loads((folder / "store.json").read_text("utf-8"))
        if facts["version"] != STORE_VERSION or facts["key"] != folder.name:
            raise Damaged("store.json belongs to another store")
        for name, expected in facts["files"].items():
            if _fingerprint(folder / name) != expected:
                raise Damaged(f"{name} is cut or changed")
        rows = np.load(folder / "rows.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"{type(error).__name__}: {error}") from error
    return StoreFiles(folder, facts, rows)


class TokenStore:
    """Rows of a store in a given order, memory-mapped.

    Args:
        folder: The store's folder.
        indices: int64: which rows of the folder, in which order.
    """

    def __init__(self, folder: Path, indices: np.ndarray) -> None:
        self.folder = folder
        self.indices = indices
        facts = json.loads((folder / "store.json").read_text("utf-8"))
        rows = np.load(folder / "rows.npy", mmap_mode="r", allow_pickle=False)[indices]
        self.lengths: np.ndarray = np.ascontiguousarray(rows["tokens"], np.int32)
        """Tokens of each row, int32."""
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
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        row = int(self.indices[index])
        batch = int(np.searchsorted(self._ends, row, side="right"))
        offsets, ids, labels = self._batches[batch]
        at = row - (int(self._ends[batch - 1]) if batch else 0)
        span = slice(offsets[at], offsets[at + 1])
        return TokenRow(ids[span], labels[span])

    def __reduce__(self) -> tuple[type[TokenStore], tuple[Path, np.ndarray]]:
        return TokenStore, (self.folder, self.indices)  # a worker process maps the files itself


def _batches(shard: Path) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Offsets, ids and labels of every record batch of a shard."""
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    with pa.ipc.open_stream(pa.memory_map(str(shard))) as stream:
        for batch in stream:
            ids: Any = batch.column(0)
            labels: Any = batch.column(2)
            arrays = (ids.offsets, ids.values, labels.values)
            found.append(tuple(array.to_numpy(zero_copy_only=True) for array in arrays))
    return found


_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def _row_hashes(rows: TokenRows) -> np.ndarray:
    """A 64-bit hash of the ids of each row, to find rows that are equal word for word."""
    lengths = rows.lengths
    position = np.arange(rows.input_ids.size, dtype=np.uint64) - np.repeat(
        rows.offsets[:-1], lengths
    ).astype(np.uint64)
    mixed = (rows.input_ids.astype(np.uint64) + np.uint64(1)) * _MULTIPLIER
    mixed ^= mixed >> np.uint64(29)
    mixed *= position * np.uint64(2) + _MULTIPLIER
    mixed ^= mixed >> np.uint64(32)
    sums = np.concatenate((np.zeros(1, np.uint64), np.cumsum(mixed, dtype=np.uint64)))
    return sums[rows.offsets[1:]] - sums[rows.offsets[:-1]] + lengths.astype(np.uint64)


def _fingerprint(file: Path) -> dict[str, int]:
    checksum = size = 0
    with file.open("rb") as stream:
        while piece := stream.read(1 << 20):
            checksum = zlib.crc32(piece, checksum)
            size += len(piece)
    return {"bytes": size, "crc32": checksum}


def _state(key: str, shards: list[str]) -> dict[str, Any]:
    return {
        "_data_files": [{"filename": name} for name in shards],
        "_fingerprint": key,
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }


def _dataset_info() -> dict[str, Any]:
    return {
        "features": {
            field.name: {
                "feature": {"dtype": str(field.type.value_type), "_type": "Value"},
                "_type": "List",
            }
            for field in SCHEMA
        },
    }
