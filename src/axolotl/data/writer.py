"""Writing a store shard by shard, so that a killed preparation goes on behind its last whole shard.

While it is made, a store lies in a folder of its own:

    store/data-00000.arrow …     the shards, as they are in the finished store
    rows-00000.npy …             the rows of each shard
    shard-00000.json …           written last: sizes and checksums of both, and where to go on

A shard counts when its JSON file is there and what that says is true. The finished `store` is moved
out as a whole.
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from axolotl.core.atomic import sync, write_json
from axolotl.core.console import note
from axolotl.data.columns import as_arrow
from axolotl.data.store import (
    ROW_DTYPE,
    SCHEMA,
    STORE_VERSION,
    ends_checksum,
    fingerprint,
    row_checks,
)
from axolotl.data.tokenize import TokenRows

SHARD_BYTES = 64_000_000
"""A shard ends with the batch that makes it this large."""


class StoreWriter:
    """Writes a store into a folder, batch by batch.

    Args:
        work: The folder to work in; shards that are whole are kept, all else in it is removed.
        key: The store's key.
        recipe: What decides where batches end; shards that were cut in another way are no use.

    Attributes:
        state: What the last whole shard was closed with; None where there is none.
        found: Rows that were there already.
    """

    def __init__(self, work: Path, key: str, recipe: Any = None) -> None:
        self._work = work
        self._key = key
        self._recipe = json.loads(json.dumps([recipe, SHARD_BYTES]))
        self._shards: list[_Shard] = []
        self._infos: list[np.ndarray] = []
        self._stream: _Stream | None = None
        self._batches: Any = None
        self.folder.mkdir(parents=True, exist_ok=True)
        self.state = self._resume()
        self.found = self.rows

    @property
    def folder(self) -> Path:
        """The store that is being made."""
        return self._work / "store"

    @property
    def rows(self) -> int:
        """Rows in the whole shards."""
        return sum(shard.rows for shard in self._shards)

    @property
    def full(self) -> bool:
        """Whether the shard is large enough to be closed."""
        return self._stream is not None and self._stream.size > SHARD_BYTES

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
        info["hash"], info["check"] = _row_hashes(rows), row_checks(rows)
        self._infos.append(info)
        if self._batches is None:
            self._stream = _Stream(self.folder / _data(len(self._shards)))
            self._batches = pa.ipc.new_stream(self._stream, SCHEMA)
        offsets = as_arrow((rows.offsets - rows.offsets[0]).astype(np.int32))
        ones = np.ones(rows.input_ids.size, np.int8)
        columns = [
            pa.ListArray.from_arrays(offsets, as_arrow(values))
            for values in (rows.input_ids, ones, rows.labels)
        ]
        self._batches.write_batch(pa.record_batch(columns, schema=SCHEMA))

    def close_shard(self, state: Mapping[str, Any]) -> None:
        """Make the shard one that counts; nothing happens where none is open.

        Args:
            state: What has been counted so far, and where to go on behind this shard.
        """
        if self._stream is None:
            return
        self._batches.close()
        self._stream.finish()
        number = len(self._shards)
        rows = self._work / f"rows-{number:05d}.npy"
        with rows.open("wb") as out:
            np.save(out, np.concatenate(self._infos), allow_pickle=False)
            sync(out)
        shard = _Shard(
            sum(info.size for info in self._infos), self._stream.fingerprint, fingerprint(rows)
        )
        content = {"data": shard.data, "rows": shard.info, "count": shard.rows, "state": state}
        head = {"version": STORE_VERSION, "key": self._key, "recipe": self._recipe}
        write_json(self._work / f"shard-{number:05d}.json", head | content)
        self._shards.append(shard)
        self._stream, self._batches, self._infos = None, None, []

    def close(self) -> None:
        """Let go of an unfinished shard."""
        if self._stream is not None:
            self._stream.close()

    def finish(self, facts: Callable[[np.ndarray], Mapping[str, Any]]) -> None:
        """Join what belongs to the rows and write what the store is.

        Args:
            facts: Gives, from what is known of the rows, what `store.json` says besides: counts,
                hashes, versions.
        """
        assert self._stream is None, "a shard is open"
        self._join_rows(self.folder / "rows.npy")
        shards = [_data(number) for number in range(len(self._shards))]
        files = {name: dict(shard.data) for name, shard in zip(shards, self._shards, strict=True)}
        for name, expected in files.items():
            expected["ends_crc32"] = ends_checksum(self.folder / name)
        files["rows.npy"] = fingerprint(self.folder / "rows.npy")
        write_json(self.folder / "state.json", _state(self._key, shards))
        write_json(self.folder / "dataset_info.json", _dataset_info())
        head = {"version": STORE_VERSION, "key": self._key, "shards": shards}
        rows = np.load(self.folder / "rows.npy", mmap_mode="r", allow_pickle=False)
        write_json(self.folder / "store.json", {**head, **facts(rows), "files": files})

    def _join_rows(self, target: Path) -> None:
        """Copy shard by shard, so that memory does not grow with their number."""
        described = np.lib.format.dtype_to_descr(ROW_DTYPE)
        header = {"descr": described, "fortran_order": False, "shape": (self.rows,)}
        with target.open("wb") as out:
            np.lib.format.write_array_header_1_0(out, header)
            for number in range(len(self._shards)):
                file = self._work / f"rows-{number:05d}.npy"
                out.write(np.load(file, allow_pickle=False).tobytes())
            sync(out)

    def _resume(self) -> Mapping[str, Any] | None:
        state: Mapping[str, Any] | None = None
        for number in count():
            file = self._work / f"shard-{number:05d}.json"
            if not file.exists():
                break
            try:
                content = json.loads(file.read_text("utf-8"))
                self._check(content, number)
            except (OSError, ValueError, KeyError, TypeError) as error:
                reason = str(error) or type(error).__name__
                note(f"{file}: {reason}; prepared anew from there on")
                break
            state = content["state"]
            self._shards.append(_Shard(content["count"], content["data"], content["rows"]))
        self._clear()
        return state

    def _check(self, content: Mapping[str, Any], number: int) -> None:
        """Raises ValueError or OSError where a shard is not what its JSON file says."""
        if (content["version"], content["key"]) != (STORE_VERSION, self._key):
            raise ValueError("of another store")
        if content["recipe"] != self._recipe:
            raise ValueError("cut into batches in another way")
        names = {"data": self.folder / _data(number), "rows": self._work / f"rows-{number:05d}.npy"}
        for part, name in names.items():
            if fingerprint(name) != content[part]:
                raise ValueError(f"{name.name} is cut or changed")

    def _clear(self) -> None:
        """Remove what does not belong to a whole shard."""
        numbers = range(len(self._shards))
        kept = {self.folder / _data(number) for number in numbers}
        kept |= {self._work / f"rows-{number:05d}.npy" for number in numbers}
        kept |= {self._work / f"shard-{number:05d}.json" for number in numbers}
        for left in [*self._work.iterdir(), *self.folder.iterdir()]:
            if left.is_dir() and left != self.folder:
                shutil.rmtree(left)
            elif left not in kept and left != self.folder:
                left.unlink()


@dataclass(frozen=True, slots=True)
class _Shard:
    rows: int
    data: Mapping[str, int]
    info: Mapping[str, int]


class _Stream:
    """A file that knows its size and checksum while it is written."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self.size = self._checksum = 0

    @property
    def closed(self) -> bool:
        return self._file.closed

    @property
    def fingerprint(self) -> dict[str, int]:
        """Size and checksum."""
        return {"bytes": self.size, "crc32": self._checksum}

    def write(self, content: bytes) -> int:
        """Write all of it."""
        self._file.write(content)
        self.size += len(content)
        self._checksum = zlib.crc32(content, self._checksum)
        return len(content)

    def flush(self) -> None:
        """Hand over to the system what is held."""
        self._file.flush()

    def finish(self) -> None:
        """Have it all on the disk, and close."""
        sync(self._file)
        self._file.close()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def _data(number: int) -> str:
    return f"data-{number:05d}.arrow"


def _row_hashes(rows: TokenRows) -> np.ndarray:
    """A 64-bit hash of the ids of each row, to find rows that are equal word for word."""
    ids = rows.input_ids.data.cast("B")
    bounds = (rows.offsets * rows.input_ids.itemsize).tolist()
    found = b"".join(blake2b(ids[a:b], digest_size=8).digest() for a, b in pairwise(bounds))
    return np.frombuffer(found, np.uint64)


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
