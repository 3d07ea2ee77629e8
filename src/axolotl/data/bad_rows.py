"""Rows that cannot be used: how many are put up with, and what is said of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from axolotl.errors import DataError
from axolotl.formats import BoundFormat, fitting_types


class BadRows:
    """Counts the rows that cannot be used; the first beyond the limit is an error.

    Args:
        limit: How many are left out: `skip_bad_rows`.
        found: How many were left out already, by an earlier part of the same preparation.
    """

    def __init__(self, limit: int = 0, *, found: int = 0) -> None:
        self.limit = limit
        self.found = found
        self._new: list[tuple[int, str]] = []

    def take(self, error: DataError, row: int) -> None:
        """Leave a row out.

        Args:
            error: What is wrong with it, with its place.
            row: Its number in its file, from 1.

        Raises:
            DataError: it is one too many.
        """
        if self.found >= self.limit:
            if not self.limit:
                raise error
            raise DataError(
                f"{error.what}; it is one bad row more than the {self.limit:,} of skip_bad_rows",
                where=error.where,
                hint=error.hint,
            )
        self.found += 1
        self._new.append((row, error.what))

    def drain(self, up_to: int | None = None) -> tuple[tuple[int, str], ...]:
        """The rows left out since the last call: number and what is wrong.

        Args:
            up_to: Leave those behind this row for later: what reads a file is ahead of what uses
                its rows.
        """
        new = tuple(bad for bad in self._new if up_to is None or bad[0] <= up_to)
        self._new = [bad for bad in self._new if up_to is not None and bad[0] > up_to]
        return new


def placed(
    error: DataError, place: str, *, row: Mapping[str, Any], bound: BoundFormat | None
) -> DataError:
    """The error with its place, and with the type that would fit where fields are missing.

    Args:
        error: What a format said of the row.
        place: Where the row stands.
        row: The row.
        bound: The format.
    """
    hint = error.hint
    if bound is not None and any(row.get(name) is None for name in bound.fields):
        fitting = [name for name in fitting_types(row) if name != bound.type]
        if fitting:
            hint = f"the row fits {type_words(fitting)}"
    return DataError(error.what, where=place, hint=hint)


def type_words(names: list[str]) -> str:
    """Types as they are written in the file."""
    shown = [f"`type: {name}`" for name in names[:3]]
    return " or ".join(shown)
