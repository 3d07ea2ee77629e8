"""`train_on_split`: the name of a split, and which of its rows are meant: `train[:10%]`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate

from axolotl.core.console import note_once
from axolotl.data.rows import RowChunk
from axolotl.data.source import Source
from axolotl.errors import DataError

_BOUND = r"\s*(-?\d[\d_]*%?)?\s*"
_SPLIT = re.compile(rf"([^\[\]+]+?)(?:\s*\[{_BOUND}:{_BOUND}\])?")


@dataclass(frozen=True, slots=True)
class Bound:
    """Where a slice begins or ends: a number of rows or of percent, from the end where negative."""

    number: int
    percent: bool

    def row(self, total: int) -> int:
        """How many of so many rows lie before it."""
        number = round(self.number * total / 100) if self.percent else self.number
        return min(max(number + (total if self.number < 0 else 0), 0), total)


@dataclass(frozen=True, slots=True)
class Split:
    """A split, or some rows of it.

    Args:
        text: As it is written.
        name: Its name.
        start: Where the rows that are meant begin.
        end: Where they end.
    """

    text: str
    name: str
    start: Bound | None = None
    end: Bound | None = None

    @property
    def whole(self) -> bool:
        """Whether all rows are meant."""
        return self.start is None and self.end is None


def parse_splits(text: str, key: str) -> list[Split]:
    """The splits that a text names; several have `+` between them.

    Args:
        text: Such as `train`, `train[100:200]`, `train[:10%]`, `train+validation[-100:]`.
        key: The entry in the YAML file, for messages.

    Raises:
        DataError: it cannot be read.
    """
    found: list[Split] = []
    for part in (piece.strip() for piece in text.split("+")):
        match = _SPLIT.fullmatch(part)
        bounds = [_bound(piece) for piece in match.groups("")[1:]] if match else []
        if match is None or any(b and b.percent and abs(b.number) > 100 for b in bounds):
            raise DataError(
                f"train_on_split: '{text}' cannot be read",
                where=key,
                hint="write a name, or rows of it: train[:10%], train[100:200], train[-100:]",
            )
        found.append(Split(part, match[1], *bounds))
    return found


def _bound(text: str) -> Bound | None:
    return Bound(int(text.rstrip("%")), text.endswith("%")) if text else None


@dataclass(frozen=True, eq=False)
class Slice:
    """Some consecutive rows of all rows of some files.

    Args:
        sources: The files.
        split: Which of their rows.
    """

    sources: Sequence[Source]
    split: Split

    def bounds(self, index: int) -> tuple[int, int | None]:
        """How many rows of a file lie before the slice, and with it; None for all.

        Raises:
            DataError: the slice has no row.
        """
        start, end = self.split.start, self.split.end
        counted = any(b is not None and (b.percent or b.number < 0) for b in (start, end))
        if not counted and len(self.sources) == 1:
            first, last = start.number if start else 0, end.number if end else None
            if last is not None and first >= last:
                raise self._empty("the")
            return first, last
        ends = self._ends
        first, last = self._rows
        before = ends[index - 1] if index else 0
        inside = ends[index] - before
        return min(max(first - before, 0), inside), min(max(last - before, 0), inside)

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(source.count() for source in self.sources))

    @cached_property
    def _rows(self) -> tuple[int, int]:
        total = self._ends[-1]
        first = self.split.start.row(total) if self.split.start else 0
        last = self.split.end.row(total) if self.split.end else total
        if first >= last:
            raise self._empty(f"the {total:,}")
        end = self.split.end
        if end and not end.percent and end.number > total:
            note_once(f"'{self.split.text}' ends at row {total:,}: there are no more")
        return first, last

    def _empty(self, count: str) -> DataError:
        return DataError(
            f"'{self.split.text}' is none of {count} rows",
            where=", ".join(source.label for source in self.sources[:5]),
            hint="the first row is 0, and the row behind the colon is not taken",
        )


@dataclass(frozen=True, eq=False)
class SlicedSource:
    """The rows of one file that belong to a slice; they keep their numbers.

    Args:
        source: The file.
        group: The slice.
        index: Which of the slice's files it is.
    """

    source: Source
    group: Slice
    index: int

    @property
    def label(self) -> str:
        """The name of the file."""
        return self.source.label

    @property
    def weight(self) -> float:
        """The size of the file: what lies before the slice may have to be read too."""
        return self.source.weight

    def identity(self) -> str:
        """Hash of the file, and which of its rows are taken."""
        first, last = self.group.bounds(self.index)
        return f"{self.source.identity()}[{first}:{'' if last is None else last}]"

    def count(self) -> int:
        """How many rows are taken."""
        first, last = self.group.bounds(self.index)
        total = self.source.count()
        return max(0, (total if last is None else min(last, total)) - first)

    def chunks(self, start_row: int = 0) -> Iterator[RowChunk]:
        """The rows of the slice behind the first `start_row` of the file.

        Raises:
            DataError: the file has no row of the slice, or is broken.
        """
        first, last = self.group.bounds(self.index)
        if last is not None and max(first, start_row) >= last:
            return
        seen = max(first, start_row)
        for chunk in self.source.chunks(seen):
            over = 0 if last is None else seen + len(chunk.rows) - last
            if over > 0:
                lines = chunk.lines if chunk.lines is None else chunk.lines[:-over]
                yield replace(chunk, rows=chunk.rows[:-over], lines=lines)
                return
            seen += len(chunk.rows)
            yield chunk
            if seen == last:
                return
        if seen == first and start_row <= first:
            raise DataError(
                f"no row behind row {first:,}, where '{self.group.split.text}' begins",
                where=self.label,
                hint="the first row is 0",
            )
        if last is not None:
            note_once(
                f"'{self.group.split.text}' ends at row {seen:,} of {self.label}: it has no more"
            )


def sliced(sources: Sequence[Source], split: Split) -> list[Source]:
    """The files with only the rows that the split means."""
    if split.whole:
        return list(sources)
    group = Slice(sources, split)
    return [SlicedSource(source, group, index) for index, source in enumerate(sources)]
