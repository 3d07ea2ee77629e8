"""Rows on their way from a file to a format, and the name of their place for messages.

Rows are counted from 1 within their file; blank lines are not rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from axolotl.errors import DataError

CHUNK_ROWS = 1000
CHUNK_BYTES = 1 << 20


Row = dict[str, Any] | DataError
"""A row, or what is wrong with it where it could not be read."""


@dataclass(frozen=True, slots=True)
class RowChunk:
    """Some consecutive rows of one file, or some picked from these.

    Args:
        rows: The rows; one that could not be read is the error that says why.
        first_row: Number of the first of them in the file, from 1.
        lines: The line on which each begins, from 1; None for files without lines.
        done: Share of the file that has been read, 0 to 1.
        picked: Number of each row in the file, where not all were taken.
    """

    rows: Sequence[Row]
    first_row: int
    lines: Sequence[int] | None
    done: float
    picked: Sequence[int] | None = None

    @property
    def numbers(self) -> Sequence[int]:
        """Number of each row in the file, from 1."""
        return self.picked or range(self.first_row, self.first_row + len(self.rows))

    def place(self, label: str, index: int) -> str:
        """Where row `index` of the chunk stands, such as `data.jsonl row 17 (line 17)`."""
        line = self.lines[index] if self.lines is not None else None
        return row_place(label, self.numbers[index], line)


def row_place(label: str, row: int, line: int | None = None) -> str:
    """The name of a row for messages.

    >>> row_place("data.jsonl", 17, 18)
    'data.jsonl row 17 (line 18)'
    """
    return f"{label} row {row}" + (f" (line {line})" if line is not None else "")


def not_utf8(error: UnicodeDecodeError, place: str) -> DataError:
    """What to say about bytes that are not UTF-8."""
    return DataError(
        f"not UTF-8: byte 0x{error.object[error.start]:02x} at position {error.start}",
        where=place,
        hint="convert the file to UTF-8 (from Latin-1: iconv -f LATIN1 -t UTF-8)",
    )
