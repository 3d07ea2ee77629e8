"""Packed files are read as what is in them; what is no data is called what it is."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from axolotl.data.sources import find_sources
from axolotl.errors import DataError

Write = Callable[[str, bytes], str]
ROWS = [{"text": f"{i} é"} for i in range(1500)]


def lines(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def zstd(content: bytes) -> bytes:
    return pa.Codec("zstd").compress(content, asbytes=True)


def zipped(members: dict[str, bytes], **options: Any) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return sink.getvalue()


def table(kind: str) -> bytes:
    sink = pa.BufferOutputStream()
    rows = pa.Table.from_pylist(ROWS)
    if kind == "parquet":
        pq.write_table(rows, sink, row_group_size=400)
    else:
        new: Any = pa.ipc.new_file if kind == "file.arrow" else pa.ipc.new_stream
        with new(sink, rows.schema) as writer:
            writer.write_table(rows, max_chunksize=400)
    return sink.getvalue().to_pybytes()


def rows_of(path: str, **options: Any) -> list[Any]:
    found = find_sources(path, key="datasets.0.path", **options)
    return [row for source in found for chunk in source.chunks() for row in chunk.rows]


PLAIN = {
    "jsonl": lines(ROWS),
    "json": json.dumps(ROWS, indent=1).encode(),
    "csv": ("text\n" + "\n".join(row["text"] for row in ROWS)).encode(),
    "tsv": ("text\n" + "\n".join(row["text"] for row in ROWS)).encode(),
    "txt": "\n".join(row["text"] for row in ROWS).encode(),
}
PACK = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstd}


@pytest.mark.parametrize("packed", PACK)
@pytest.mark.parametrize("kind", PLAIN)
def test_every_kind_of_text_in_every_packing(kind: str, packed: str, write: Write) -> None:
    name = write(f"a.{kind}.{packed}", PACK[packed](PLAIN[kind]))
    assert rows_of(name) == ROWS
    assert rows_of(name, split="train[-3:]") == ROWS[-3:]


def test_zstd_of_several_frames(write: Write) -> None:
    name = write("a.jsonl.zst", zstd(lines(ROWS[:700])) + zstd(lines(ROWS[700:])))
    assert rows_of(name) == ROWS


@pytest.mark.parametrize("kind", [*PLAIN, "parquet", "stream.arrow", "file.arrow", "jsonl.gz"])
def test_a_zip_of_one_file(kind: str, write: Write) -> None:
    content = PLAIN.get(kind) or (gzip.compress(lines(ROWS)) if "gz" in kind else table(kind))
    name = write("a.zip", zipped({f"in/a.{kind}": content}))
    (source,) = find_sources(name)
    assert source.label == f"a.zip/in/a.{kind}"
    assert rows_of(name) == ROWS
    assert [n for chunk in source.chunks(1100) for n in chunk.numbers] == [*range(1101, 1501)]
    assert source.count() == 1500
    (again,) = find_sources(write("b.zip", zipped({f"a.{kind}": content}, compresslevel=1)))
    assert again.identity() == source.identity()  # the content counts, not how it is packed
    assert 0 < source.weight <= len(zipped({"x": content})) + 1


def test_a_zip_of_several_files(write: Write) -> None:
    members = {
        "b.csv": b"text\n1\n",
        "a/c.jsonl": b'{"text": "0"}\n',
        "d.parquet": table("parquet"),
        "README.md": b"no data",
        "__MACOSX/._b.csv": b"\0\1",
        "a/": b"",
    }
    name = write("all.zip", zipped(members))
    assert [row["text"] for row in rows_of(name)][:3] == ["0", "1", "0 é"]
    splits = {"train.jsonl": lines(ROWS[:3]), "test.jsonl": lines(ROWS[3:4])}
    name = write("splits.zip", zipped(splits))
    assert rows_of(name) == ROWS[:3]
    assert rows_of(name, split="test") == ROWS[3:4]


def test_ds_type_says_what_is_in_a_zip(write: Write) -> None:
    assert rows_of(write("one.zip", zipped({"a": lines(ROWS[:2])}))) == ROWS[:2]
    name = write("a.zip", zipped({"a.dat": b"text\n1\n", "b.dat": b"text\n2\n"}))
    assert rows_of(name, ds_type="csv") == [{"text": "1"}, {"text": "2"}]
    with pytest.raises(DataError, match=r"no data files in the folder 'a.zip'; it has: a\.dat"):
        rows_of(name)


def test_a_damaged_zip(write: Write) -> None:
    whole = zipped({"a.jsonl": lines(ROWS)})
    with pytest.raises(DataError, match=r"a\.zip: the archive is cut short or damaged"):
        rows_of(write("a.zip", whole[:-30]))
    at = len(whole) // 2
    with pytest.raises(DataError, match=r"b\.zip/a\.jsonl, behind row \d+: the compressed file is"):
        rows_of(write("b.zip", whole[:at] + b"\xff\xff\xff\xff" + whole[at + 4 :]))
    locked = bytearray(whole)
    locked[6] |= 1
    at = whole.rindex(b"PK\x01\x02")
    locked[at + 8] |= 1
    with pytest.raises(DataError, match=r"c\.zip: the archive is encrypted[^$]*unpack it"):
        rows_of(write("c.zip", bytes(locked)))


FOREIGN = {
    "a.xlsx": (zipped({"xl/workbook.xml": b"", "a.xml": b""}), "an Excel table[^$]*read_excel"),
    "a.docx": (zipped({"word/document.xml": b""}), "a Word document"),
    "a.ods": (zipped({"content.xml": b""}), "an OpenDocument file"),
    "a.xls": (b"\xd0\xcf\x11\xe0" + bytes(600), "an Excel or Word file of the old kind"),
    "a.pdf": (b"%PDF-1.7\n", "a PDF[^$]*pdftotext"),
    "a.db": (b"SQLite format 3\0", "an SQLite database[^$]*read_sql"),
    "a.pkl": (b"\x80\x04\x95" + bytes(20), "a pickle, which is not read[^$]*may run code"),
    "a.tar": (bytes(257) + b"ustar\x0000", "a tar archive[^$]*unpack it"),
    "a.jsonl.gz": (gzip.compress(bytes(257) + b"ustar\x0000"), "a tar archive"),
    "a.npy": (b"\x93NUMPY", "a NumPy array"),
    "a.7z": (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    "a.jsonl": (b"\n<!DOCTYPE html>\n<html>", "a web page instead of data[^$]*'raw'"),
    "b.jsonl": (b"<html lang=en>", "a web page instead of data"),
    "a.parquet": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n",
        "only the pointer to a file that Git LFS keeps elsewhere[^$]*git lfs pull",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_no_data_is_called_what_it_is(name: str, write: Write) -> None:
    content, message = FOREIGN[name]
    with pytest.raises(DataError, match=rf"^{name}: {message}"):
        rows_of(write(name, content))


def test_a_web_page_is_text_to_one_who_asks_for_it(write: Write) -> None:
    name = write("page.html", b"<!DOCTYPE html>\n<p>x</p>\n")
    assert rows_of(name, ds_type="text")[1] == {"text": "<p>x</p>"}
