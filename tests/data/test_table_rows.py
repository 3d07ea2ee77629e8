import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from axolotl.data.files import open_file
from axolotl.data.rows import RowChunk
from axolotl.data.table_rows import arrow_chunks
from tests.data.conftest import rows_in

TABLE = pa.table(
    {
        "instruction": pa.array([f"{i} é\n" for i in range(2500)]),
        "extra": pa.array([{"a": [i]} for i in range(2500)]),
    }
)
Write = Callable[[str, bytes], str]


def read(name: str, **options: Any) -> list[RowChunk]:
    return list(open_file(Path(name), name, **options).chunks())


@pytest.mark.parametrize("kind", ["a.parquet", "stream.arrow", "file.arrow"])
def test_columnar_files_in_pieces(kind: str, write: Write) -> None:
    sink = io.BytesIO()
    if kind == "a.parquet":
        pq.write_table(TABLE, sink, row_group_size=1100)
    else:
        new: Any = pa.ipc.new_stream if kind == "stream.arrow" else pa.ipc.new_file
        with new(sink, TABLE.schema) as writer:
            writer.write_table(TABLE)
    chunks = read(write(kind, sink.getvalue()))
    assert rows_in(chunks) == TABLE.to_pylist()
    assert max(len(chunk.rows) for chunk in chunks) <= 1000
    assert chunks[-1].first_row + len(chunks[-1].rows) == 2501
    assert chunks[0].place("x", 1) == "x row 2"


def test_csv_cells_with_everything_in_them(write: Write) -> None:
    long = "x" * 200_000  # more than the csv module takes by default
    name = write("a.csv", f'a,b\n"1,\n""q""",\u2028\n\n{long},\n'.encode())
    (chunk,) = read(name)
    assert chunk.rows == [{"a": '1,\n"q"', "b": "\u2028"}, {"a": long, "b": ""}]
    assert chunk.lines == [2, 5]


def test_tabs_in_tsv(write: Write) -> None:
    assert rows_in(read(write("a.tsv", b"a\tb\n1,2\t3\n"))) == [{"a": "1,2", "b": "3"}]


def test_text_lines_end_at_newlines_alone(write: Write) -> None:
    name = write("a.txt", "\ufeffone\u2028more\r\n\n three ".encode())
    (chunk,) = read(name)
    assert [row["text"] for row in rows_in([chunk])] == ["one\u2028more", "", " three "]
    assert chunk.place("a.txt", 2) == "a.txt row 3 (line 3)"


@pytest.mark.parametrize("name", ["a.csv.bz2", "a.csv.xz", "a.csv.gz"])
def test_packed_files(name: str, write: Write) -> None:
    import bz2
    import gzip
    import lzma

    pack = {"bz2": bz2.compress, "xz": lzma.compress, "gz": gzip.compress}[name[6:]]
    assert rows_in(read(write(name, pack(b"a\n1\n")))) == [{"a": "1"}]


def test_ds_type_beats_the_name(write: Write) -> None:
    name = write("rows.data", b"a,b\n1,2\n")
    assert rows_in(read(name, ds_type="csv")) == [{"a": "1", "b": "2"}]
    assert rows_in(read(name, ds_type="text"))[0] == {"text": "a,b"}


def test_tools_of_a_table_have_their_own_keys_alone() -> None:
    tools = [{"name": "f", "takes": {"x": 1}}, {"name": "g", "takes": {"y": {"z": 2}}, "old": True}]
    rows = [
        {"tools": tools, "plain": [{"a": None}, {"a": 1}], "text": None},
        {"tools": None, "plain": None, "text": "b"},
    ]
    (chunk,) = arrow_chunks(pa.Table.from_pylist(rows).to_batches(), 2)
    assert chunk.rows == rows
