"""One file of rows: what kind it is, how it is packed, and its rows.

The name proposes the kind and the first bytes decide it: a Parquet file named `.json`, or plain
text named `.gz`, is read as what it is, and that is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from axolotl.core.console import note_once
from axolotl.core.hashing import hash_file, hash_stream, hash_values
from axolotl.data.json_rows import read_json
from axolotl.data.kinds import PACKED, kind_of, refuse_office
from axolotl.data.listing import data_names, no_data, of_split, partitions
from axolotl.data.rows import RowChunk
from axolotl.data.source import Wanted
from axolotl.data.table_rows import (
    Done,
    count_arrow,
    count_parquet,
    read_arrow,
    read_csv,
    read_parquet,
    read_text,
)
from axolotl.data.unpack import Packed, damages, is_zip, look_into, members
from axolotl.errors import DataError, EnvironmentFault


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file of rows.

    Args:
        label: Its name for messages, as the user would write it.
        packed: The file, and how it is packed.
        kind: One of `KINDS`.
        columns: Columns that every row gets besides, of a partitioned table.
    """

    label: str
    packed: Packed
    kind: str
    columns: tuple[tuple[str, str | None], ...] = ()

    @property
    def path(self) -> Path:
        """The file."""
        return self.packed.path

    @property
    def weight(self) -> float:
        """Its size in bytes, to share out a progress bar."""
        return self.packed.size_bytes

    def identity(self) -> str:
        """Hash of the content and of the way it is read."""
        kind = f"{self.kind}tsv" if self._tabs else self.kind
        with file_faults(self.label):
            if self.packed.member:
                with damages(self.label, lambda: 0), self.packed.opened() as (stream, _):
                    content = hash_stream(stream)
            else:
                content = hash_file(self.path)
        columns = f":{hash_values(self.columns)}" if self.columns else ""
        return f"{kind}:{content}{columns}"

    def count(self) -> int:
        """How many rows it has; a file whose kind does not say is read through.

        Raises:
            DataError: the file or a row in it is broken.
        """
        if not self.packed.member:
            with file_faults(self.label):
                if self.kind == "parquet":
                    return count_parquet(self.path, self.label)
                if self.kind == "arrow":
                    return count_arrow(self.path, self.label)
        return sum(len(chunk.rows) for chunk in self.chunks())

    def chunks(self, start_row: int = 0) -> Iterator[RowChunk]:
        """The rows, a bounded number at a time.

        Args:
            start_row: How many rows at the beginning are passed over, as cheaply as the kind allows.

        Raises:
            DataError: the file or a row in it is broken; names the row.
            EnvironmentFault: it cannot be read.
        """
        with file_faults(self.label):
            for chunk in self._chunks(start_row):
                for row in chunk.rows if self.columns else ():
                    if not isinstance(row, DataError):
                        row.update({n: v for n, v in self.columns if n not in row})
                yield chunk

    def _chunks(self, start_row: int) -> Iterator[RowChunk]:
        if self.kind in ("parquet", "arrow") and not self.packed.member:
            read = read_parquet if self.kind == "parquet" else read_arrow
            yield from read(self.path, self.label, start_row)
            return
        rows = start_row
        with damages(self.label, lambda: rows), self.packed.opened() as (stream, done):
            for chunk in self._read(stream, done, start_row):
                rows += len(chunk.rows)
                yield chunk

    def _read(self, stream: BinaryIO, done: Done, start_row: int) -> Iterator[RowChunk]:
        if self.kind == "parquet":
            return read_parquet(stream, self.label, start_row)
        if self.kind == "arrow":
            return read_arrow(stream, self.label, start_row)
        if self.kind == "text":
            return read_text(stream, self.label, done=done, start_row=start_row)
        if self.kind == "csv":
            tabs = "\t" if self._tabs else ","
            return read_csv(stream, self.label, done=done, delimiter=tabs, start_row=start_row)
        return read_json(stream, self.label, done=done, start_row=start_row)

    @property
    def _tabs(self) -> bool:
        name = self.packed.member or self.path.name
        return self.kind == "csv" and ".tsv" in Path(name.lower()).suffixes[-2:]


def open_files(path: Path, label: str, wanted: Wanted, *, relative: str = "") -> list[FileSource]:
    """What is in a file: itself, or the members of a zip archive that are data.

    Args:
        path: The file.
        label: Its name for messages.
        wanted: What it is, and which split of an archive is read.
        relative: Its name within the folder that was asked for, which may name columns.

    Raises:
        DataError: the content contradicts `ds_type`, or is of no kind that is read.
        EnvironmentFault: it cannot be read.
    """
    ds_type = wanted.ds_type
    with file_faults(label):
        if not is_zip(path):
            return [open_file(path, label, ds_type=ds_type, relative=relative)]
        names = members(path, label)
        refuse_office(names, label)
        data = data_names(names, ds_type=ds_type) or (names if len(names) == 1 else [])
        if not data:
            raise no_data(label, wanted.key, names)
        return [
            open_file(path, f"{label}/{name}", ds_type=ds_type, member=name, relative=name)
            for name in of_split(data, wanted.split, folder=label, key=wanted.key)
        ]


def open_file(
    path: Path, label: str, *, ds_type: str | None = None, member: str = "", relative: str = ""
) -> FileSource:
    """Find out what a file is.

    Args:
        path: The file.
        label: Its name for messages.
        ds_type: The kind that the user says it is; the name decides otherwise.
        member: The member of a zip archive that is meant.
        relative: Its name within the folder that was asked for, which may name columns.

    Raises:
        DataError: the content contradicts `ds_type`, or is of no kind that is read.
        EnvironmentFault: it cannot be read.
    """
    name = member or path.name
    with file_faults(label):
        packed, head = look_into(path, member)
    if name.lower().endswith(PACKED) and not packed.compression and head and not member:
        note_once(f"{label}: not compressed in spite of its name; read as it is")
    kind = kind_of(head, name, label, ds_type=ds_type)
    if packed.compression and kind in ("parquet", "arrow"):
        raise DataError(f"a compressed {kind} file is not read", where=label, hint="unpack it")
    return FileSource(label, packed, kind, partitions(relative))


@contextmanager
def file_faults(label: str) -> Iterator[None]:
    """Turn a file that cannot be read into an `EnvironmentFault` or `DataError` naming it."""
    try:
        yield
    except PermissionError as error:
        raise EnvironmentFault("no permission to read it", where=label) from error
    except (FileNotFoundError, IsADirectoryError) as error:
        raise DataError("no such file", where=label, hint="it was there a moment ago") from error
