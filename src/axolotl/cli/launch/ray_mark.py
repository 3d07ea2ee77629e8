"""What the workers of a run on Ray leave for those that are started in their place.

A file in the output folder says that the run has started, and what the user has to mend, if that is
what has ended it: it would end the run again, after all of the start-up. The file has its size from
the beginning, since what is to be mended may be a full disk.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from axolotl.core.atomic import disk_faults
from axolotl.core.console import note
from axolotl.errors import AxolotlError

_SIZE_BYTES = 16384
_TEXT_CHARACTERS = 450
"""Of each of the three texts; written in JSON, a character takes twelve bytes at most."""


@dataclass(frozen=True)
class Earlier:
    """What is known of earlier starts of a run.

    Args:
        started: Whether there was one.
        fault: What the user has to mend, as the arguments of an `EnvironmentFault`; None where it
            ended otherwise.
    """

    started: bool
    fault: dict[str, Any] | None = None


def mark_of(output: Path, run: str) -> Path:
    """The file; it stays until the run has ended for good.

    Args:
        output: The output folder.
        run: Tells the run from others in the same folder.
    """
    return output / "logs" / f"{run}.started"


def earlier_start(mark: Path, tell: Callable[[Any], Any]) -> Earlier:
    """Whether Ray has started the workers anew: what the first process finds, on all of them.

    Each by itself could see the mark of this very start, or miss that of a start it did not live to see.

    Args:
        mark: The file.
        tell: Gives all processes what the first one puts in.

    Raises:
        EnvironmentFault: the file cannot be written.
    """
    found = None
    if os.environ["RANK"] == "0":
        with disk_faults(mark):
            found = asdict(_read(mark))
            if not found["started"]:
                mark.parent.mkdir(parents=True, exist_ok=True)
                mark.write_bytes(b" " * _SIZE_BYTES)
    return Earlier(**tell(found))


def leave_fault(mark: Path, error: AxolotlError) -> None:
    """Say what the user has to mend; where that cannot be written, the run is started anew in vain.

    Args:
        mark: The file.
        error: What ended this process.
    """
    words = fault_of(error).items()
    short = {name: text[:_TEXT_CHARACTERS] if text else text for name, text in words}
    try:
        with mark.open("r+b") as file:
            file.write(json.dumps(short).encode().ljust(_SIZE_BYTES))
    except OSError as fault:
        note(f"'{mark}' cannot be written to: {fault.strerror}")


def fault_of(error: AxolotlError) -> dict[str, Any]:
    """An error as the arguments of an `EnvironmentFault`."""
    return {"what": error.what or str(error), "where": error.where, "hint": error.hint}


def _read(mark: Path) -> Earlier:
    try:
        text = mark.read_bytes().strip()
    except FileNotFoundError:
        return Earlier(started=False)
    return Earlier(started=True, fault=json.loads(text) if text else None)
