"""A file of answers that can be gone on with: in the order of its prompts, whatever stopped it.

Prompts of similar length are answered together, so the answers of a stretch of rows come in another
order. They are kept in a journal beside the file until the stretch is whole, and then written in
their order. A last line that was only half written is taken away. A record beside the file, which
stays, says how they were made.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from axolotl.core.alone import alone
from axolotl.core.atomic import disk_faults, sync
from axolotl.errors import DataError, EnvironmentFault
from axolotl.inference.made import MadeFile
from axolotl.inference.prompt_rows import PromptRow

SHOWN_ROWS = 10
"""How many of the rows without an answer are named."""
_PROMPT = "prompt"
"""Under which the journal has the hash of an answer's prompt."""


@dataclass
class Kept:
    """What a file of answers holds.

    Args:
        rows: How many rows; they are the first ones.
        failed: How many of them have an `error` in the place of their answer.
        named: The numbers of these, as far as they are named.
    """

    rows: int = 0
    failed: int = 0
    named: list[int] = field(default_factory=list)


@contextmanager
def only_writer(place: Path) -> Iterator[None]:
    """Keep others from a file of answers while the body runs; one that was killed keeps nobody out.

    Args:
        place: The file; its folder is made.

    Raises:
        EnvironmentFault: another process writes it.
    """
    place = place.resolve()
    taken = EnvironmentFault(
        f"another process is writing '{place}'",
        where="--out",
        hint="wait for its end, or name another file",
    )
    with alone(place.with_name(f".{place.name}.lock"), taken):
        yield


class AnswerFile:
    """Takes in answers in any order and holds them in theirs; `only_writer` keeps others out.

    Args:
        place: The file.
        made_by: What the answers depend on besides the prompts: model, format and options.

    Attributes:
        found: What the file held when it was opened.
        done: How many rows the file holds; they are the first ones.
        ahead: Answers of later rows that the journal holds, by number, with the hash of the prompt.

    Raises:
        DataError: the file holds something else, or answers that were made in another way.
    """

    def __init__(self, place: Path, made_by: Mapping[str, Any]) -> None:
        self.place = place
        self.journal = place.with_name(f"{place.name}.part")
        self._made = MadeFile(place, made_by)
        with disk_faults(place):
            self.found = _mended(place)
            self.done = self.found.rows
            # The file is there before the journal has answers: without it, it was deleted.
            self.ahead = self._read_journal() if place.exists() else {}
            if self.done or self.ahead:
                self._made.go_on(self.done)
            else:
                self._made.begin()
            self._notes = self._new_journal()
            self._out = place.open("ab")

    def skip_done(self, rows: Iterator[PromptRow]) -> None:
        """Take from the rows those that the file holds, which are to be the same as they were.

        Raises:
            DataError: names the first that is another one.
        """
        self._made.check(rows)

    def has(self, row: PromptRow) -> bool:
        """Whether the journal holds the answer of this very row."""
        return row.number in self.ahead and self.ahead[row.number][_PROMPT] == row.digest

    def fault(self, row: PromptRow) -> str | None:
        """Why the row whose answer the journal holds has none."""
        return self.ahead[row.number].get("error")

    def add(self, row: PromptRow, answer: Mapping[str, Any]) -> None:
        """Keep the answer of a row; it survives a kill from `save` on."""
        self.ahead[row.number] = {**answer, _PROMPT: row.digest}
        self._notes.write(_line(self.ahead[row.number]))

    def save(self) -> None:
        """Have on the disk what was added."""
        with disk_faults(self.journal):
            sync(self._notes)

    def write(self, last: int) -> None:
        """Put the rows up to a number, all of which were added, into the file."""
        with disk_faults(self.place):
            answers = [self.ahead.pop(number) for number in range(self.done + 1, last + 1)]
            self._made.add([answer.pop(_PROMPT) for answer in answers])
            for answer in answers:
                self._out.write(_line(answer))
            sync(self._out)
            self.done = max(self.done, last)
            self._notes.close()
            self._notes = self._new_journal()

    def close(self, *, whole: bool) -> None:
        """Close the file; the journal goes with the last row.

        Args:
            whole: Whether every row is answered.
        """
        self._out.close()
        self._notes.close()
        if whole:
            self.journal.unlink(missing_ok=True)

    def _new_journal(self) -> IO[bytes]:
        """Write the journal anew, with the answers that are not in the file yet, and open it.

        The old one stands until the new one is on the disk whole.
        """
        fresh = self.journal.with_name(f"{self.journal.name}.new")
        with fresh.open("wb") as out:
            for answer in self.ahead.values():
                out.write(_line(answer))
            sync(out)
        fresh.replace(self.journal)
        return self.journal.open("ab")

    def _read_journal(self) -> dict[int, dict[str, Any]]:
        ahead: dict[int, dict[str, Any]] = {}
        if not self.journal.exists():
            return ahead
        with self.journal.open("rb") as kept:
            for line in kept:
                with suppress(ValueError):  # the last may be half written
                    answer: dict[str, Any] = json.loads(line)
                    if _PROMPT in answer and answer["row"] > self.done:
                        ahead[answer["row"]] = answer
        return ahead


def _line(content: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(content, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:  # the id of a row may hold half a character
        return json.dumps(content).encode() + b"\n"


def _begins_answer(line: bytes) -> bool:
    """Whether a line that has no end yet is one of ours."""
    begin = b'{"row": '
    return line.startswith(begin) or begin.startswith(line)


def _mended(place: Path) -> Kept:
    """Take away a half-written last line; what is left.

    Raises:
        DataError: the file does not hold answers from row 1 on.
    """
    kept, end = Kept(), 0
    if not place.exists():
        return kept
    with place.open("rb") as lines:
        for line in lines:
            number = kept.rows + 1
            try:
                content: Any = json.loads(line)
                numbered = content["row"] == number
            except (ValueError, TypeError, KeyError):
                content, numbered = {}, False
            if not numbered or not line.endswith(b"\n"):
                if line.endswith(b"\n") or not _begins_answer(line):
                    raise DataError(
                        f"line {number} of '{place}' is no answer to row {number}",
                        where="--out",
                        hint="name another file",
                    )
                break
            if "error" in content:
                kept.failed += 1
                if len(kept.named) < SHOWN_ROWS:
                    kept.named.append(number)
            kept.rows = number
            end += len(line)
    with place.open("r+b") as out:
        out.truncate(end)
        os.fsync(out.fileno())
    return kept
