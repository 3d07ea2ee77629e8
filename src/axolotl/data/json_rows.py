r"""Rows of JSON: one object a line, or an array of objects; which of them, the content decides.

Lines end at `\n` alone, because U+2028, U+0085 and their like may stand unescaped inside a row.
Both shapes are read piece by piece: memory does not grow with the file.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from axolotl.data.json_values import explain, not_an_object, scan
from axolotl.data.rows import CHUNK_BYTES, CHUNK_ROWS, Row, RowChunk, not_utf8, row_place
from axolotl.errors import DataError

_BLANK = " \t\n\r"
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_json(
    stream: BinaryIO, label: str, *, done: Callable[[], float], start_row: int = 0
) -> Iterator[RowChunk]:
    """Read the rows of a JSON Lines file or of a JSON array.

    Args:
        stream: The decompressed bytes, at their beginning.
        label: Name of the file for messages.
        done: Function that gives the share of the file read so far.
        start_row: How many rows are passed over; those on lines of their own without being parsed.

    A line that is no row stands in its chunk as the error that it is.

    Raises:
        DataError: the file is not UTF-8, or an array is broken.
    """
    head = stream.read(CHUNK_BYTES)
    if head[:2] in _UTF16_MARKS:
        raise DataError(
            "the file is UTF-16, not UTF-8",
            where=f"{label} row 1 (line 1)",
            hint=f"convert it: iconv -f UTF-16 -t UTF-8 {label}",
        )
    head = head.removeprefix(codecs.BOM_UTF8)
    while not head.strip():
        more = stream.read(CHUNK_BYTES)
        if not more:
            return
        head += more
    if head.lstrip()[:1] == b"[":
        yield from _read_array(_Text(stream, head, label), label, done, start_row)
    else:
        yield from _read_lines(stream, head, label, done, start_row)


def _read_lines(
    stream: BinaryIO, head: bytes, label: str, done: Callable[[], float], start_row: int
) -> Iterator[RowChunk]:
    row_number = line_number = 0
    for block in _line_blocks(stream, head):
        lines = block
        if row_number < start_row:
            lines, passed = _behind(block, start_row - row_number)
            row_number += passed
            line_number += len(block) - len(lines)
        rows: list[Row] = []
        numbers: list[int] = []
        for raw in lines:
            line_number += 1
            try:
                line = raw.decode()
                row, end = scan(line, 0)
                whole = line[end:] in ("\n", "\r\n", "")
            except (ValueError, RecursionError):
                whole, row = False, None
            if not whole or type(row) is not dict:
                if not raw.strip():
                    continue
                place = row_place(label, row_number + len(rows) + 1, line_number)
                row = _line_slowly(raw, place)
            rows.append(row)
            numbers.append(line_number)
        if rows:
            yield RowChunk(rows, row_number + 1, numbers, done())
        row_number += len(rows)


def _line_blocks(stream: BinaryIO, head: bytes) -> Iterator[list[bytes]]:
    lines = head.split(b"\n")
    rest = lines.pop() + stream.readline()
    lines = [line + b"\n" for line in lines]
    if rest:
        lines.append(rest)
    while lines:
        yield lines
        lines = stream.readlines(CHUNK_BYTES)


def _behind(lines: list[bytes], rows: int) -> tuple[list[bytes], int]:
    """What is left of a block behind so many rows, and how many rows it was shortened by."""
    passed = 0
    for at, line in enumerate(lines):
        if passed == rows:
            return lines[at:], passed
        passed += bool(line.strip())
    return [], passed


def _line_slowly(raw: bytes, place: str) -> Row:
    """The row of a line that is not plainly one object, or what is wrong with it."""
    try:
        return _parsed(raw, place)
    except DataError as error:
        return error


def _parsed(raw: bytes, place: str) -> dict[str, Any]:
    try:
        line = raw.decode().strip(_BLANK)
    except UnicodeDecodeError as error:
        raise not_utf8(error, place) from None
    try:
        row, end = scan(line, 0)
    except (ValueError, RecursionError) as error:
        raise explain(error, line, 0, place, cut=not raw.endswith(b"\n")) from None
    if end != len(line):
        raise DataError(
            "something stands behind the row's closing brace",
            where=place,
            hint=f"write one object a line; the line goes on with: {line[end:].strip()[:40]}",
        )
    if not isinstance(row, dict):
        raise not_an_object(row, place)
    return row


class _Text:
    """A window on the decoded text of a stream that can be asked for more."""

    def __init__(self, stream: BinaryIO, head: bytes, label: str) -> None:
        self._stream = stream
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._label = label
        self.row = 1
        self.line = 1
        self.pos = 0
        self.ended = False
        self.text = ""
        self._append(head)

    def more(self) -> bool:
        """Take in another piece, at least as large as what is held; False at the end."""
        data = b"" if self.ended else self._stream.read(max(CHUNK_BYTES, len(self.text)))
        if self.ended:
            return False
        self.text = self.text[self.pos :]
        self.pos = 0
        self._append(data)
        return True

    def _append(self, data: bytes) -> None:
        self.ended = not data
        try:
            self.text += self._decode(data, not data)
        except UnicodeDecodeError as error:
            raise not_utf8(error, f"{self._label}, at or behind row {self.row}") from None

    def move(self, to: int) -> None:
        self.line += self.text.count("\n", self.pos, to)
        self.pos = to

    def peek(self) -> str:
        """The next character that is not blank, without taking it; empty at the end."""
        while True:
            rest = self.text[self.pos : self.pos + 4096]
            bare = rest.lstrip(_BLANK)
            self.move(self.pos + len(rest) - len(bare))
            if bare:
                return bare[0]
            if self.pos >= len(self.text) and not self.more():
                return ""


def _read_array(
    text: _Text, label: str, done: Callable[[], float], start_row: int
) -> Iterator[RowChunk]:
    text.peek()
    text.move(text.pos + 1)  # the opening bracket
    if text.peek() == "]":
        return
    rows: list[dict[str, Any]] = []
    lines: list[int] = []
    first = 1
    while True:
        text.peek()
        line, row = text.line, _next_value(text, label)
        if text.row > start_row:
            lines.append(line)
            rows.append(row)
        else:
            first += 1
        text.row += 1
        mark = text.peek()
        if rows and (len(rows) == CHUNK_ROWS or mark == "]"):
            yield RowChunk(rows, first, lines, done())
            first += len(rows)
            rows, lines = [], []
        if mark == "]":
            break
        _expect_comma(text, mark, label)
    text.move(text.pos + 1)
    if text.peek():
        raise DataError(
            "something stands behind the closing bracket of the array",
            where=f"{label} line {text.line}",
            hint="keep one array in the file, or write one object a line",
        )


def _next_value(text: _Text, label: str) -> dict[str, Any]:
    while True:
        try:
            row, end = scan(text.text, text.pos)
            break
        except (ValueError, RecursionError) as error:
            if _may_be_cut(error, text) and text.more():
                continue
            place = row_place(label, text.row, text.line)
            raise explain(error, text.text, text.pos, place, cut=text.ended) from None
    if not isinstance(row, dict):
        raise not_an_object(row, row_place(label, text.row, text.line))
    text.move(end)
    return row


def _may_be_cut(error: Exception, text: _Text) -> bool:
    """Whether the window may simply end inside the value."""
    if isinstance(error, json.JSONDecodeError):
        return error.msg.startswith("Unterminated string") or error.pos + 16 > len(text.text)
    return False


def _expect_comma(text: _Text, mark: str, label: str) -> None:
    place = f"{label}, behind row {text.row - 1} (line {text.line})"
    if mark == ",":
        text.move(text.pos + 1)
        if text.peek() == "]":
            raise DataError(
                "a comma without a row behind it", where=place, hint="remove the last comma"
            )
    elif mark:
        raise DataError(
            f"a comma or the closing bracket is missing before '{mark}'",
            where=place,
            hint="put a comma between two rows of the array",
        )
    else:
        raise DataError(
            "the array is not closed: the file seems cut",
            where=place,
            hint="get the whole file again",
        )
