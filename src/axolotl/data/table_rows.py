"""Rows of CSV, plain text, Parquet and Arrow files.

CSV is read strictly: a row with too few or too many cells, or a quote that never closes, is an
error with its line, because reading on would shift texts into the wrong fields.
"""

from __future__ import annotations

import codecs
import csv
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from axolotl.core.hashing import hash_stream
from axolotl.data.rows import CHUNK_BYTES, CHUNK_ROWS, Row, RowChunk, not_utf8, row_place
from axolotl.errors import DataError

Done = Callable[[], float]


def read_text(
    stream: BinaryIO, label: str, *, done: Done, start_row: int = 0
) -> Iterator[RowChunk]:
    """Every line behind the first `start_row` is a row with the field `text`, without its line end.

    A line that is not UTF-8 stands in its chunk as the error that it is.
    """
    first = 1
    while lines := stream.readlines(CHUNK_BYTES):
        if first == 1:
            lines[0] = lines[0].removeprefix(codecs.BOM_UTF8)
        passed = max(0, min(len(lines), start_row + 1 - first))
        first += passed
        rows = [
            _text_row(line, row_place(label, first + i, first + i))
            for i, line in enumerate(lines[passed:])
        ]
        if rows:
            yield RowChunk(rows, first, range(first, first + len(rows)), done())
        first += len(rows)


def _text_row(line: bytes, place: str) -> Row:
    try:
        return {"text": _decoded(line, place).rstrip("\r\n")}
    except DataError as error:
        return error


def read_csv(
    stream: BinaryIO, label: str, *, done: Done, delimiter: str = ",", start_row: int = 0
) -> Iterator[RowChunk]:
    """The first line names the columns; every value is text; `start_row` rows are passed over.

    A row that does not fit the header stands in its chunk as the error that it is.

    Raises:
        DataError: the file has no header, or is not valid CSV or UTF-8.
    """
    csv.field_size_limit(sys.maxsize)  # the default refuses cells of more than 128 kB
    reader = csv.reader(_decoded_lines(stream, label), strict=True, delimiter=delimiter)
    records = _csv_records(reader, label)
    header = next(records, (1, []))[1]
    if len(set(header)) != len(header) or not all(name.strip() for name in header):
        raise DataError(
            f"the first line does not name the columns: {', '.join(header)[:80]}",
            where=f"{label} line 1",
            hint="put a first line with a different name for every column, such as instruction,input,output",
        )
    first = 1 + sum(1 for _ in islice(records, start_row))
    while block := list(islice(records, CHUNK_ROWS)):
        rows: list[Row] = []
        for i, (line, cells) in enumerate(block):
            if len(cells) == len(header):
                rows.append(dict(zip(header, cells, strict=True)))
                continue
            error = DataError(
                f"{len(cells)} cells, but the first line names {len(header)} columns",
                where=row_place(label, first + i, line),
                hint="quote cells that hold a comma or a quote; write empty cells as two commas",
            )
            rows.append(error)
        yield RowChunk(rows, first, [line for line, _ in block], done())
        first += len(rows)


def _csv_records(reader: Any, label: str) -> Iterator[tuple[int, list[str]]]:
    row = 0
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            unclosed = "unexpected end of data" in str(error)
            raise DataError(
                "a quote opens here and never closes" if unclosed else f"not CSV: {error}",
                where=row_place(label, row, line) if row else f"{label} line {line}",
                hint='a quote inside a quoted cell is written twice: ""',
            ) from None
        if cells:  # a blank line is no row
            yield line, cells
            row += 1


def _decoded_lines(stream: BinaryIO, label: str) -> Iterator[str]:
    for number, line in enumerate(stream, 1):
        raw = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        yield _decoded(raw, f"{label} line {number}")


def _decoded(line: bytes, place: str) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise not_utf8(error, place) from None


def read_parquet(path: Path | BinaryIO, label: str, start_row: int = 0) -> Iterator[RowChunk]:
    """The rows of a Parquet file behind the first `start_row`; what can be left unread is.

    Raises:
        DataError: the file is not a whole Parquet file.
    """
    import pyarrow.parquet as pq

    with _arrow_faults(label, "Parquet"), pq.ParquetFile(path) as file:
        total = file.metadata.num_rows
        group = passed = 0
        while group < file.num_row_groups:
            behind = passed + file.metadata.row_group(group).num_rows
            if behind > start_row:
                break
            group, passed = group + 1, behind
        batches = file.iter_batches(CHUNK_ROWS, row_groups=range(group, file.num_row_groups))
        yield from arrow_chunks(batches, total, first=passed + 1, start_row=start_row)


def read_arrow(path: Path | BinaryIO, label: str, start_row: int = 0) -> Iterator[RowChunk]:
    """The rows of an Arrow file, stream or file layout, behind the first `start_row`.

    Raises:
        DataError: the file is not a whole Arrow file.
    """
    with _arrow_faults(label, "Arrow"), _arrow_source(path) as source:
        size = source.size()
        batches, total = _arrow_batches(source)
        yield from arrow_chunks(batches, total, lambda: source.tell() / size, start_row=start_row)


def count_parquet(path: Path, label: str) -> int:
    """How many rows a Parquet file has.

    Raises:
        DataError: the file is not a whole Parquet file.
    """
    import pyarrow.parquet as pq

    with _arrow_faults(label, "Parquet"):
        return pq.read_metadata(path).num_rows


def count_arrow(path: Path, label: str) -> int:
    """How many rows an Arrow file has.

    Raises:
        DataError: the file is not a whole Arrow file.
    """
    with _arrow_faults(label, "Arrow"), _arrow_source(path) as source:
        batches, total = _arrow_batches(source)
        return sum(batch.num_rows for batch in batches) if total is None else total


def hash_table(table: Any) -> str:
    """Hash of the content of a table in memory."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        for batch in table.to_batches():
            writer.write_batch(batch)
    return hash_stream(pa.BufferReader(sink.getvalue()))


def _arrow_source(path: Path | BinaryIO) -> pa.NativeFile:
    return pa.memory_map(str(path)) if isinstance(path, Path) else pa.PythonFile(path, "r")


def _arrow_batches(source: pa.NativeFile) -> tuple[Iterable[pa.RecordBatch], int | None]:
    """The batches, and how many rows they have in all where the layout says it."""
    layout = source.read(6)
    source.seek(0)
    if layout != b"ARROW1":
        return pa.ipc.open_stream(source), None
    file = pa.ipc.open_file(source)
    numbers = range(file.num_record_batches)
    total = sum(file.get_batch(i).num_rows for i in numbers)
    return (file.get_batch(i) for i in numbers), total


def arrow_chunks(
    batches: Iterable[pa.RecordBatch],
    total: int | None,
    done: Done | None = None,
    *,
    first: int = 1,
    start_row: int = 0,
) -> Iterator[RowChunk]:
    """Rows of record batches, in pieces of a bounded number of rows.

    Args:
        batches: The batches.
        total: Rows in all, to tell how far reading is; None where nobody knows.
        done: Tells how far reading is, where `total` is None.
        first: Number of the first row of the first batch.
        start_row: Rows up to this number are passed over without being made objects.
    """
    for batch in batches:
        filled = [f.name for f in batch.schema if _is_list(f.type) and _structs(f.type) > 1]
        passed = max(0, min(batch.num_rows, start_row + 1 - first))
        first += passed
        for start in range(passed, batch.num_rows, CHUNK_ROWS):
            rows = batch.slice(start, CHUNK_ROWS).to_pylist()
            for row in rows if filled else ():
                row.update({name: _without_filling(row[name]) for name in filled})
            share = (first + len(rows) - 1) / total if total else done() if done else 1.0
            yield RowChunk(rows, first, None, share)
            first += len(rows)


def _structs(kind: pa.DataType) -> int:
    """How many structs stand in one another."""
    if pa.types.is_struct(kind):
        return 1 + max((_structs(field.type) for field in kind), default=0)
    return _structs(kind.value_type) if _is_list(kind) else 0


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)


def _without_filling(value: Any) -> Any:
    """A value without the keys that are null: in a list, each struct has the keys of all others.

    Tools and calls of them are such lists, and their text would be full of keys of other tools.
    """
    if isinstance(value, dict):
        return {k: _without_filling(inner) for k, inner in value.items() if inner is not None}
    return [_without_filling(inner) for inner in value] if isinstance(value, list) else value


@contextmanager
def _arrow_faults(label: str, kind: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        reason = str(error).split("\n")[0].split(". ")[0]
        raise DataError(
            f"not a whole {kind} file: {reason}",
            where=label,
            hint="get the file again: it seems cut or is of another kind",
        ) from error
