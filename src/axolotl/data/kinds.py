"""What kind of rows a file holds: its name proposes it and its first bytes decide it."""

from __future__ import annotations

import re

from axolotl.core.console import note_once
from axolotl.data.unpack import COMPRESSED
from axolotl.errors import DataError

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
PACKED = (*COMPRESSED, ".zip")

_CONVERT = "convert it, with pandas: {}.to_json('rows.jsonl', orient='records', lines=True)"
_UNPACK = "unpack it and name the folder"
_FOREIGN: tuple[tuple[bytes, int, str, str], ...] = (
    (b"\xd0\xcf\x11\xe0", 0, "an Excel or Word file of the old kind", "save it as CSV (UTF-8)"),
    (b"%PDF", 0, "a PDF", "take its text out first, with pdftotext: one document a row"),
    (b"SQLite format 3", 0, "an SQLite database", _CONVERT.format("read_sql(QUERY, CONNECTION)")),
    (b"\x89HDF", 0, "an HDF5 file", _CONVERT.format("read_hdf(FILE)")),
    (b"\x93NUMPY", 0, "a NumPy array", "write rows with fields, as JSON Lines"),
    (b"FEA1", 0, "a Feather file of the old kind", _CONVERT.format("read_feather(FILE)")),
    (b"ORC", 0, "an ORC file", _CONVERT.format("read_orc(FILE)")),
    (b"Obj\x01", 0, "an Avro file", "convert it to JSON Lines or Parquet"),
    (b"7z\xbc\xaf", 0, "a 7z archive", _UNPACK),
    (b"Rar!", 0, "a RAR archive", _UNPACK),
    (b"ustar", 257, "a tar archive", _UNPACK),
    (b"\x80\x04\x95", 0, "a pickle", "pickles may run code and are not read: write JSON Lines"),
    (
        b"version https://git-lfs.github.com",
        0,
        "only the pointer to a file that Git LFS keeps elsewhere",
        "fetch the file itself: git lfs pull",
    ),
)
_OFFICE = {
    "xl/workbook.xml": ("an Excel table", _CONVERT.format("read_excel(FILE)")),
    "word/document.xml": ("a Word document", "save it as plain text"),
    "content.xml": ("an OpenDocument file", "save it as CSV (UTF-8), or as plain text"),
}
_WEB_PAGE = re.compile(rb"\s*<(!doctype html|html[\s>])", re.IGNORECASE)


def inner_suffix(name: str) -> str:
    """The suffix of what is packed in a file of that name, in small letters.

    >>> inner_suffix("a/b.JSONL.gz"), inner_suffix("b.zip"), inner_suffix("b")
    ('.jsonl', '', '')
    """
    last = name.lower().rpartition("/")[2]
    for packed in PACKED:
        last = last.removesuffix(packed)
    stem, dot, suffix = last.rpartition(".")
    return dot + suffix if stem else ""


def kind_of(head: bytes, name: str, label: str, *, ds_type: str | None) -> str:
    """One of `KINDS`.

    Args:
        head: The first bytes, unpacked.
        name: The file's name.
        label: Its name for messages.
        ds_type: What the user says that it is.

    Raises:
        DataError: the content contradicts `ds_type`, or is of no kind that is read.
    """
    named = ds_type or EXTENSIONS.get(inner_suffix(name), "json")
    if named != "text":
        refuse_foreign(head, label)
    actual = named
    if head.startswith(b"PAR1"):
        actual = "parquet"
    elif head.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        actual = "arrow"
    elif named in ("parquet", "arrow") and head.lstrip()[:1] in (b"{", b"["):
        actual = "json"
    if actual == named:
        return named
    if ds_type:
        raise DataError(
            f"not {named}, as `ds_type` says, but {actual}",
            where=label,
            hint=f"write `ds_type: {actual}`, or leave ds_type out",
        )
    note_once(f"{label}: {actual} in spite of its name; read as {actual}")
    return actual


def refuse_foreign(head: bytes, label: str) -> None:
    """Raise `DataError` for a web page or a file of a kind that is known and not read."""
    if _WEB_PAGE.match(head):
        raise DataError(
            "a web page instead of data",
            where=label,
            hint="get the file itself: on many sites its address has 'raw' or 'resolve' in it",
        )
    for magic, at, what, hint in _FOREIGN:
        if head[at:].startswith(magic):
            raise DataError(f"{what}, which is not read", where=label, hint=hint)


def refuse_office(members: list[str], label: str) -> None:
    """Raise `DataError` for a zip archive that is a document of an office program."""
    for name, (what, hint) in _OFFICE.items():
        if name in members:
            raise DataError(f"{what}, which is not read", where=label, hint=hint)
