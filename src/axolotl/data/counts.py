"""What became of the source rows, file by file, while a store is filled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

LISTED_ROWS = 100
"""How many rows of a kind are listed by number; all of them are counted."""
SHOWN_ROWS = 5
"""How many of these a line of text names."""

Kind = Literal["dropped", "bad", "split", "truncated", "control", "remark"]
"""What may be said of a source row.

`dropped`: it is not in the store, for a reason; `bad`: nor is this one, because it cannot be used;
`split` and `truncated`: it was too long; `control`: its own text gave a special token; `remark`: what
its format has to say of it.
"""


@dataclass(frozen=True, slots=True)
class Rows:
    """A number of source rows, and where the first of them stand.

    Args:
        count: How many.
        places: The first `LISTED_ROWS` of them: name of the file and row in it, from 1.
    """

    count: int
    places: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        if not self.count:
            return "0"
        shown = self.places[:SHOWN_ROWS]
        files = dict.fromkeys(file for file, _ in shown)
        where = "; ".join(
            f"{file} row {', '.join(str(row) for name, row in shown if name == file)}"
            for file in files
        )
        return f"{self.count:,} ({where}{', …' if self.count > len(shown) else ''})"

    def below(self, name: str) -> str:
        """As text where the name of their file has been said already.

        >>> Rows(2, (("a.jsonl", 3), ("a.jsonl", 7))).below("a.jsonl")
        '2 (row 3, 7)'
        """
        return str(self).replace(f"({name} row", "(row")


@dataclass(slots=True)
class Group:
    """Rows of one file of which the same is said.

    Args:
        count: How many.
        rows: Numbers of the first `LISTED_ROWS` of them, from 1.
    """

    count: int = 0
    rows: list[int] = field(default_factory=list)


@dataclass(slots=True)
class FileCounts:
    """What became of the rows of one file.

    Args:
        read: Its rows.
        kept: Rows of the store that come from it; a row cut in three counts three.
        padded: Pretokenized rows that lost padding.
        longest_dropped: Tokens of the longest row that was dropped for its length.
        groups: Rows by kind, and by what is said of them.
    """

    read: int = 0
    kept: int = 0
    padded: int = 0
    longest_dropped: int = 0
    groups: dict[str, dict[str, Group]] = field(default_factory=dict)

    def note(self, kind: Kind, text: str, rows: Iterable[int]) -> None:
        """Say something of some rows.

        Args:
            kind: Of what kind it is.
            text: What is said.
            rows: Their numbers in the file, from 1, in order.
        """
        numbers = [int(row) for row in rows]
        if not numbers:
            return
        group = self.groups.setdefault(kind, {}).setdefault(text, Group())
        group.count += len(numbers)
        group.rows += numbers[: LISTED_ROWS - len(group.rows)]

    def total(self, kind: Kind) -> int:
        """How many rows of a kind there are."""
        return sum(group.count for group in self.groups.get(kind, {}).values())

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def of_dict(cls, content: Mapping[str, Any]) -> FileCounts:
        """From JSON.

        Raises:
            KeyError, TypeError: it is none.
        """
        groups = {
            kind: {text: Group(**group) for text, group in found.items()}
            for kind, found in content["groups"].items()
        }
        return cls(**{**content, "groups": groups})
