"""The output of each of several processes in a file; the first one's on the screen as well."""

from __future__ import annotations

import os
import re
import socket
import sys
import time
from pathlib import Path
from typing import IO, Any

from axolotl.core.atomic import disk_faults
from axolotl.core.console import console

_CONTROL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07)|\r(?!\n)")
_BLANKS = re.compile(r" +(?=\n)")
_REDRAWN = re.compile(r"\r(?!\n)|\x1b\[\d*[AK]")


def rank_log(folder: Path, rank: int) -> Path:
    """Where the output of a process is kept."""
    return folder / "logs" / f"rank-{rank}.log"


def keep_output(folder: Path) -> Path | None:
    """From now on, keep what this process prints in a file; all but the first print nowhere else.

    Args:
        folder: The folder of the run.

    Returns:
        The file; None where there is one process.

    Raises:
        EnvironmentFault: the file cannot be written.
    """
    if int(os.environ.get("WORLD_SIZE") or 1) < 2:
        return None
    rank = int(os.environ.get("RANK", "0"))
    file = rank_log(folder, rank)
    with disk_faults(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        out = file.open("a", encoding="utf-8", errors="replace", buffering=1)
    began = time.strftime("%Y-%m-%d %H:%M:%S")
    out.write(f"--- rank {rank}, process {os.getpid()} on {socket.gethostname()}, {began}\n")
    if rank == 0:
        sys.stdout, sys.stderr = Twofold(sys.stdout, out), Twofold(sys.stderr, out)
        return file
    if os.environ.get("LOCAL_RANK") == "0":
        sys.stderr.write(f"the output of this machine is kept in {file.parent}\n")
    sys.stdout.flush()
    sys.stderr.flush()
    for number in (1, 2):  # so that what is not Python goes there, too
        os.dup2(out.fileno(), number)
    console().quiet = False
    return file


class Twofold:
    """A stream that writes to the screen, and to a file without colours and without progress bars.

    Args:
        screen: The stream that it stands for.
        kept: The file.
    """

    def __init__(self, screen: IO[str], kept: IO[str]) -> None:
        self._screen = screen
        self.kept = kept

    def write(self, text: str) -> int:
        """Write to both."""
        self.kept.write(plain(text))
        return self._screen.write(text)

    def flush(self) -> None:
        """Have both written."""
        self.kept.flush()
        self._screen.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._screen, name)


def plain(text: str) -> str:
    r"""What of a text for a terminal is worth keeping: whole lines where it draws over others.

    >>> plain("\x1b[32mdone\x1b[0m\n"), plain("\r\x1b[2Ksaved\n 40 % |####")
    ('done\n', 'saved\n')
    """
    bare = _BLANKS.sub("", _CONTROL.sub("", text))
    if not _REDRAWN.search(text):
        return bare
    return "".join(line for line in bare.splitlines(keepends=True) if line.endswith("\n"))
