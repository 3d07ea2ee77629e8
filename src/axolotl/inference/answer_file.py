"""A file of answers that can be gone on with: in the order of its prompts, whatever stopped it.

Prompts of similar length are answered together, so the answers of a stretch of rows come in another
order. They are kept in a journal beside the file until the stretch is whole, and then written in
their order. A last line that was only half written is taken away.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from axolotl.core.atomic import disk_faults, sync
from axolotl.errors import DataError

_CHUNK_BYTES = 1 << 20


class AnswerFile:
    """Takes in answers in any order and holds them in theirs.

    Args:
        place: The file.
        made_by: What the answers depend on besides the prompts: model, format and options.

    Attributes:
        done: How many rows the file holds; they are the first ones.
        ahead: Answers of later rows that the journal holds, by number.

    Raises:
        DataError: the file holds something else, or answers that were made in another way.
    """

    def __init__(self, place: Path, made_by: Mapping[str, Any]) -> None:
        self.place = place
        self.journal = place.with_name(f"{place.name}.part")
        self._made_by = json.loads(json.dumps(dict(made_by)))
        with disk_faults(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            self.done = _mended(place)
            self.ahead = self._read_journal()
            self._out = place.open("ab")
            self._notes = self.journal.open("wb")
            self._begin_journal()

    def add(self, number: int, answer: Mapping[str, Any]) -> None:
        """Keep the answer of a row; it survives a kill from `save` on."""
        self.ahead[number] = dict(answer)
        self._notes.write(_line(self.ahead[number]))

    def save(self) -> None:
        """Have on the disk what was added."""
        with disk_faults(self.journal):
            sync(self._notes)

    def write(self, last: int) -> None:
        """Put the rows up to a number, all of which were added, into the file."""
        with disk_faults(self.place):
            for number in range(self.done + 1, last + 1):
                self._out.write(_line(self.ahead.pop(number)))
            sync(self._out)
            self.done = max(self.done, last)
            self._begin_journal()

    def close(self, *, whole: bool) -> None:
        """Close the file; the journal goes with the last row.

        Args:
            whole: Whether every row is answered.
        """
        self._out.close()
        self._notes.close()
        if whole:
            self.journal.unlink(missing_ok=True)

    def _begin_journal(self) -> None:
        """Write the journal anew: how answers are made, and those that are not in the file yet."""
        fresh = self.journal.with_name(f"{self.journal.name}.new")
        with fresh.open("wb") as out:
            out.write(_line({"made_by": self._made_by}))
            for answer in self.ahead.values():
                out.write(_line(answer))
            sync(out)
        self._notes.close()
        fresh.replace(self.journal)
        self._notes = self.journal.open("ab")

    def _read_journal(self) -> dict[int, dict[str, Any]]:
        if not self.journal.exists():
            return {}
        lines: list[dict[str, Any]] = []
        with self.journal.open("rb") as kept:
            for line in kept:
                with suppress(ValueError):  # the last may be half written
                    lines.append(json.loads(line))
        made_by = lines[0].get("made_by") if lines else None
        if made_by is not None and made_by != self._made_by:
            now = self._made_by
            other = [
                f"{key} was {made_by.get(key)!r} and is {now.get(key)!r}"
                for key in {**made_by, **now}
                if made_by.get(key) != now.get(key)
            ]
            raise DataError(
                f"the answers in '{self.place}' were made otherwise: {'; '.join(other)}",
                where="--out",
                hint=f"name another file, or delete it and '{self.journal.name}' to begin anew",
            )
        return {line["row"]: line for line in lines[1:] if line["row"] > self.done}


def _line(content: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(content, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:  # the id of a row may hold half a character
        return json.dumps(content).encode() + b"\n"


def _begins_answer(line: bytes) -> bool:
    """Whether a line that has no end yet is one of ours."""
    begin = b'{"row": '
    return line.startswith(begin) or begin.startswith(line)


def _mended(place: Path) -> int:
    """Take away a half-written last line; how many rows are left.

    Raises:
        DataError: the file does not hold answers from row 1 on.
    """
    if not place.exists():
        return 0
    rows, end = 0, 0
    with place.open("rb") as lines:
        for line in lines:
            try:
                content: Any = json.loads(line)
                numbered = content["row"] == rows + 1
            except (ValueError, TypeError, KeyError):
                numbered = False
            if not numbered or not line.endswith(b"\n"):
                if line.endswith(b"\n") or not _begins_answer(line):
                    raise DataError(
                        f"line {rows + 1} of '{place}' is no answer to row {rows + 1}",
                        where="--out",
                        hint="name another file",
                    )
                break
            rows += 1
            end += len(line)
    with place.open("r+b") as out:
        out.truncate(end)
        os.fsync(out.fileno())
    return rows
