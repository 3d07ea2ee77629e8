"""One file of rows: what kind it is, how it is packed, and its rows.

The name proposes the kind and the first bytes decide it: a Parquet file named `.json`, or plain
text named `.gz`, is read as what it is, and that is said.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from axolotl.core.console import note_once
from axolotl.core.hashing import hash_file
from axolotl.data.json_rows import read_json
from axolotl.data.rows import CHUNK_BYTES, RowChunk
from axolotl.data.table_rows import Done, read_arrow, read_csv, read_parquet, read_text
from axolotl.errors import DataError, EnvironmentFault

KINDS = ("json", "csv", "text", "parquet", "arrow")
EXTENSIONS = {
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "text",
    ".text": "text",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
_COMPRESSED = {".gz": b"\x1f\x8b", ".bz2": b"BZh", ".xz": b"\xfd7zXZ\x00"}
_ZSTD = b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file of rows.

    Args:
        label: Its name for messages, as the user would write it.
        path: The file.
        kind: One of `KINDS`.
        compression: The suffix of its compression, or empty.
    """

    label: str
    path: Path
    kind: str
    compression: str = ""

    @property
    def weight(self) -> float:
        """Its size in bytes, to share out a progress bar."""
        return self.path.stat().st_size

    def identity(self) -> str:
        """Hash of the content and of the way it is read."""
        delimiter = "tsv" if self._tabs else ""
        with file_faults(self.label):
            return f"{self.kind}{delimiter}:{hash_file(self.path)}"

    def chunks(self, start_row: int = 0) -> Iterator[RowChunk]:
        """The rows, a bounded number at a time.

        Args:
            start_row: How many rows at the beginning are passed over, as cheaply as the kind allows.

        Raises:
            DataError: the file or a row in it is broken; names the row.
            EnvironmentFault: it cannot be read.
        """
        with file_faults(self.label):
            if self.kind == "parquet":
                yield from read_parquet(self.path, self.label, start_row)
            elif self.kind == "arrow":
                yield from read_arrow(self.path, self.label, start_row)
            else:
                yield from self._text_chunks(start_row)

    def _text_chunks(self, start_row: int) -> Iterator[RowChunk]:
        size = self.path.stat().st_size
        rows = start_row
        with self.path.open("rb") as raw:

            def done() -> float:
                return min(1.0, raw.tell() / max(size, 1))

            stream = _decompress(raw, self.compression)
            try:
                for chunk in self._read(stream, done, start_row):
                    rows += len(chunk.rows)
                    yield chunk
            except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
                raise DataError(
                    f"the compressed file is cut short or damaged: {error}",
                    where=f"{self.label}, behind row {rows}",
                    hint="get the file again",
                ) from error

    def _read(self, stream: BinaryIO, done: Done, start_row: int) -> Iterator[RowChunk]:
        if self.kind == "text":
            return read_text(stream, self.label, done=done, start_row=start_row)
        if self.kind == "csv":
            tabs = "\t" if self._tabs else ","
            return read_csv(stream, self.label, done=done, delimiter=tabs, start_row=start_row)
        return read_json(stream, self.label, done=done, start_row=start_row)

    @property
    def _tabs(self) -> bool:
        return self.kind == "csv" and ".tsv" in self.path.suffixes[-2:]


def open_file(path: Path, label: str, *, ds_type: str | None = None) -> FileSource:
    """Find out what a file is.

    Args:
        path: The file.
        label: Its name for messages.
        ds_type: The kind that the user says it is; the name decides otherwise.

    Raises:
        DataError: the content contradicts `ds_type`, or the compression is not known.
        EnvironmentFault: it cannot be read.
    """
    with file_faults(label), path.open("rb") as stream:
        head = stream.read(64)
    compression = next((s for s, magic in _COMPRESSED.items() if head.startswith(magic)), "")
    inner = path.with_suffix("") if path.suffix.lower() in _COMPRESSED else path
    named = EXTENSIONS.get(inner.suffix.lower(), "json")
    if head.startswith(_ZSTD):
        raise DataError("compressed with zstd, which is not read", where=label, hint="zstd -d FILE")
    if path.suffix.lower() in _COMPRESSED and not compression and head:
        note_once(f"{label}: not compressed in spite of its name; read as it is")
    kind = _kind(head, ds_type or named, label, chosen=ds_type is not None)
    if compression and kind in ("parquet", "arrow"):
        raise DataError(f"a compressed {kind} file is not read", where=label, hint="unpack it")
    return FileSource(label, path, kind, compression)


def _kind(head: bytes, named: str, label: str, *, chosen: bool) -> str:
    actual = named
    if head.startswith(b"PAR1"):
        actual = "parquet"
    elif head.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        actual = "arrow"
    elif named in ("parquet", "arrow") and head.lstrip()[:1] in (b"{", b"["):
        actual = "json"
    if actual == named:
        return named
    if chosen:
        raise DataError(
            f"not {named}, as `ds_type` says, but {actual}",
            where=label,
            hint=f"write `ds_type: {actual}`, or leave ds_type out",
        )
    note_once(f"{label}: {actual} in spite of its name; read as {actual}")
    return actual


def _decompress(raw: BinaryIO, compression: str) -> BinaryIO:
    if not compression:
        return raw
    openers: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    return io.BufferedReader(openers[compression](raw), CHUNK_BYTES)


@contextmanager
def file_faults(label: str) -> Iterator[None]:
    """Turn a file that cannot be read into an `EnvironmentFault` or `DataError` naming it."""
    try:
        yield
    except PermissionError as error:
        raise EnvironmentFault("no permission to read it", where=label) from error
    except (FileNotFoundError, IsADirectoryError) as error:
        raise DataError("no such file", where=label, hint="it was there a moment ago") from error
