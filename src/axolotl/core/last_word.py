"""What a process leaves for its launcher when it finds that another has gone.

The launcher may wait for a machine that is lost, and knows less of why its own processes end.
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


def read_word(file: Path) -> LastWord | None:
    """What a process has left; None where there is nothing."""
    try:
        what, machine = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return None
    return LastWord(str(what), bool(machine))
