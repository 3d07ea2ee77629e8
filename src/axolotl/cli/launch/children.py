"""The processes that a launcher has started, and how it ends them when it cannot wait any longer.

torchrun starts each in a session of its own, where no end of the launcher reaches it; one that hangs
in a library would keep its GPU.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path


def end_children() -> None:
    """Kill all children of this process, and with one that leads a group all of that group.

    They have had the time to end by themselves. Where there is no `/proc`, as on macOS, they cannot be
    found, and nothing is done.
    """
    for pid in _children():
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            if os.getpgid(pid) == pid:
                os.killpg(pid, signal.SIGKILL)
            else:
                os.kill(pid, signal.SIGKILL)


def _children() -> list[int]:
    found: list[int] = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            # What stands before the last bracket is the name, which may hold anything.
            _, parent, *_ = file.read_text(errors="replace").rpartition(")")[2].split()
            if int(parent) == os.getpid():
                found.append(int(file.parent.name))
    return found
