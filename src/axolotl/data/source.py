"""What every source of rows can do, and what an entry of `datasets` wants of the files that it names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from axolotl.data.rows import RowChunk


class Source(Protocol):
    """Rows in order, from one file or table."""

    @property
    def label(self) -> str:
        """Its name for messages."""
        ...

    @property
    def weight(self) -> float:
        """Its size in bytes, to share out a progress bar."""
        ...

    def identity(self) -> str:
        """Hash of its content."""
        ...

    def count(self) -> int:
        """How many rows it has; may have to read them."""
        ...

    def chunks(self, start_row: int = 0) -> Iterator[RowChunk]:
        """Its rows behind the first `start_row`, a bounded number at a time."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an entry wants of its files.

    Args:
        key: The key of the YAML file, for messages.
        split: The split to read, where the files are of several.
        ds_type: What the files are, where the user says it.
        token: Whether the hub gets the user's token; None leaves it to the library.
    """

    key: str = "datasets"
    split: str = "train"
    ds_type: str | None = None
    token: bool | None = None
