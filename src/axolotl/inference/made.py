"""What stands beside a file of answers: how they were made, and of which prompts.

The first line says how; each further one is the hash of a row's prompt, in the order of the answers.
Hashes are on the disk before the answers are, so there are never fewer of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from axolotl.core.atomic import disk_faults, sync, write_atomic
from axolotl.errors import DataError
from axolotl.inference.prompt_rows import PromptRow

_ANOTHER = "name another file, or delete this one to begin anew"


class MadeFile:
    """The record beside a file of answers.

    Args:
        answers: The file of answers.
        made_by: What answers depend on besides the prompts.
    """

    def __init__(self, answers: Path, made_by: Mapping[str, Any]) -> None:
        self.place = answers.with_name(f"{answers.name}.made")
        self._answers = answers
        self._made_by: dict[str, Any] = json.loads(json.dumps(dict(made_by)))

    def begin(self) -> None:
        """Write it anew, for a file without answers."""
        write_atomic(self.place, json.dumps({"made_by": self._made_by}) + "\n")

    def go_on(self, done: int) -> None:
        """See that the answers were made as further ones will be.

        Args:
            done: How many rows the file of answers holds; hashes of later ones are taken away.

        Raises:
            DataError: they were made in another way, or nobody knows how.
        """
        if not self.place.is_file():
            raise self._unknown("is missing")
        with disk_faults(self.place), self.place.open("r+b") as record:
            made_by = _made_by(record.readline())
            if made_by is None:
                raise self._unknown("cannot be read")
            if made_by != self._made_by:
                raise self._otherwise(made_by)
            for _ in range(done):
                if not record.readline().endswith(b"\n"):
                    raise self._unknown("knows of fewer rows")
            record.truncate(record.tell())
            sync(record)

    def check(self, rows: Iterator[PromptRow]) -> None:
        """Take from the rows those that are answered, and see that they are the same.

        Raises:
            DataError: names the first that is not.
        """
        with self.place.open("rb") as record:
            record.readline()
            # The record comes first: where it ends, no row is taken.
            for line, row in zip(record, rows, strict=False):
                if line.decode("ascii", "replace").strip() != row.digest:
                    raise DataError(
                        f"row {row.number} is another one than that which '{self._answers}' answers",
                        where="--prompts",
                        hint="new rows belong at the end; or name another file with --out",
                    )

    def add(self, digests: Iterable[str]) -> None:
        """Have on the disk of which prompts the next answers are."""
        with disk_faults(self.place), self.place.open("ab") as record:
            record.writelines(digest.encode() + b"\n" for digest in digests)
            sync(record)

    def _unknown(self, why: str) -> DataError:
        return DataError(
            f"how the answers in '{self._answers}' were made is not known: '{self.place.name}' {why}",
            where="--out",
            hint=_ANOTHER,
        )

    def _otherwise(self, was: Mapping[str, Any]) -> DataError:
        now = self._made_by
        other = [
            f"{key} was {was.get(key)!r} and is {now.get(key)!r}"
            for key in {**was, **now}
            if was.get(key) != now.get(key)
        ]
        return DataError(
            f"the answers in '{self._answers}' were made otherwise: {'; '.join(other)}",
            where="--out",
            hint=_ANOTHER,
        )


def _made_by(line: bytes) -> dict[str, Any] | None:
    """What the first line says; None where it is none of ours."""
    try:
        found: object = json.loads(line)["made_by"]
    except (ValueError, TypeError, KeyError):
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None
