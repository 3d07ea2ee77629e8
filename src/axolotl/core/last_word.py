"""What a process leaves for its launcher: who has gone, or with what exit code it ends itself.

The launcher may wait for a machine that is lost, and knows less of why its own processes end. Having
seen one end, it ends the others by a signal, also one that is about to end by itself.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

from axolotl.core.console import note

VARIABLE = "AXOLOTL_LAST_WORD"
"""Names the file, for the processes of a launcher."""


class LastWord(NamedTuple):
    """Who has gone.

    Args:
        what: In words.
        machine: Whether that is a whole machine.
    """

    what: str
    machine: bool


def leave_word(what: str, *, machine: bool) -> None:
    """Tell the launcher, where it asks for that."""
    if file := os.environ.get(VARIABLE):
        whole = Path(f"{file}.{os.getpid()}")
        try:
            whole.write_text(json.dumps([what, machine]), "utf-8")
            whole.replace(file)
        except OSError as error:
            note(f"the launcher cannot be told: {error}")


def leave_code(code: int) -> None:
    """Tell the launcher, where it asks for that, with what exit code this process ends.

    Args:
        code: The exit code.
    """
    file, rank = os.environ.get(VARIABLE), os.environ.get("RANK")
    if file and rank:
        try:
            Path(f"{file}.code-{rank}").write_text(str(code), "utf-8")
        except OSError as error:
            note(f"the launcher cannot be told: {error}")


def read_code(file: Path, rank: int) -> int | None:
    """The exit code that a process has left; None where there is none.

    Args:
        file: What `VARIABLE` names for the processes.
        rank: Number of the process.
    """
    try:
        return int(Path(f"{file}.code-{rank}").read_text("utf-8"))
    except (FileNotFoundError, ValueError):  # also one that was ended while it wrote
        return None


def left_codes(file: Path) -> list[int]:
    """The exit codes that processes have left.

    Args:
        file: What `VARIABLE` names for the processes.
    """
    ranks = [int(each.name.rpartition("-")[2]) for each in file.parent.glob(f"{file.name}.code-*")]
    return [code for rank in ranks if (code := read_code(file, rank)) is not None]


def read_word(file: Path) -> LastWord | None:
    """What a process has left; None where there is nothing."""
    try:
        what, machine = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return None
    return LastWord(str(what), bool(machine))
