"""torchrun, which says in one message which process ended a run, and where its output is.

    python -m axolotl.cli.launch.agent LOGS TORCHRUN-OPTIONS -m axolotl.cli.train CONFIG …

It is what `axolotl train --nproc N` turns into.
"""

from __future__ import annotations

import logging
import os
import platform
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axolotl.cli._exit import BUG, DONE, LOST, MENDABLE, TERMINATED
from axolotl.cli._say import say_error
from axolotl.cli.launch.children import end_children
from axolotl.cli.launch.twice import ending_at_second_signal
from axolotl.core.last_word import VARIABLE, LastWord, left_codes, read_code, read_word
from axolotl.errors import EnvironmentFault

_LAST_LINES = 12
_LOOK_S = 0.5
_ENDS_AFTER_MACHINE_S = 7.0
_ENDS_AFTER_PROCESS_S = 25.0
"""How long torchrun has to end after a process has left word of one that is gone. Its processes end by
themselves meanwhile, in 5 and 10 seconds."""
_SIGNAL_OF_LAUNCHER = -signal.SIGTERM
_WORST_FIRST = (BUG, MENDABLE, LOST, TERMINATED, DONE)


def run_agent(arguments: Sequence[str]) -> int:
    """Start the processes, wait for them, and say which one failed.

    Args:
        arguments: Folder of the logs, then what torchrun takes.

    Returns:
        0, or the exit code: that of the process that failed first, 1 where a signal ended it. Of a run
        that was told to stop, that of its processes, or of a program that the signal ended.
    """
    logs, *words = arguments
    begun = time.time()
    logging.disable(logging.ERROR)  # torchrun's own lines say less, in more of them
    own = os.environ.get("TORCH_CPP_LOG_LEVEL")
    os.environ["TORCH_CPP_LOG_LEVEL"] = own or "ERROR"
    from torch.distributed import DistError
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous.api import RendezvousError
    from torch.distributed.run import parse_args, run

    if own is None:  # torch has read it by now; it is not for the processes
        del os.environ["TORCH_CPP_LOG_LEVEL"]
    with _heeding_last_word(Path(logs)) as word, ending_at_second_signal(word.parent):
        try:
            run(parse_args(words))
        except ChildFailedError as error:
            return tell_failure(_endings(error.failures, word), Path(logs), read_word(word))
        except SignalException as error:
            left = left_codes(word)
            return next((code for code in _WORST_FIRST if code in left), 128 + int(error.sigval))
        except (RendezvousError, DistError, ConnectionError, TimeoutError) as error:
            began = any(file.stat().st_mtime >= begun for file in Path(logs).glob("rank-*.log"))
            gone = other_gone(Path(logs).parent, read_word(word))
            say_error(gone if began else no_meeting(words, error))
            return LOST if began else MENDABLE
    return 0


@dataclass(frozen=True)
class Ending:
    """How a process ended.

    Args:
        code: Its exit code; below 0 the signal that ended it.
        pid: Its number.
        at: When, in seconds since 1970.
    """

    code: int
    pid: int
    at: float


def _endings(failures: Mapping[int, Any], word: Path) -> dict[int, Ending]:
    """How those ended that failed, by their number.

    Of one that the launcher ended while it was ending by itself, that is what counts which it left
    word of.

    Args:
        failures: Number of the process → what torchrun knows of its end.
        word: The file that processes leave word in.
    """
    found: dict[int, Ending] = {}
    for rank, failure in failures.items():
        code = int(failure.exitcode)
        if code == _SIGNAL_OF_LAUNCHER and (left := read_code(word, rank)) is not None:
            code = left
        found[rank] = Ending(code, failure.pid, float(failure.timestamp))
    return found


@contextmanager
def _heeding_last_word(logs: Path) -> Iterator[Path]:
    """End, some time after a process has found that another machine is lost.

    torchrun asks the store before it ends, which may be on that machine: then it waits for minutes.

    Yields:
        The file in which processes leave that word.
    """
    folder, ended = Path(tempfile.mkdtemp(prefix="axolotl-")), threading.Event()
    word = folder / "last-word"
    os.environ[VARIABLE] = str(word)

    def heed() -> None:
        while (found := read_word(word)) is None:
            if ended.wait(_LOOK_S):
                return
        if ended.wait(_ENDS_AFTER_MACHINE_S if found.machine else _ENDS_AFTER_PROCESS_S):
            return
        say_error(other_gone(logs.parent, found))
        shutil.rmtree(folder, ignore_errors=True)
        end_children()
        os._exit(LOST)

    threading.Thread(target=heed, name="last word", daemon=True).start()
    try:
        yield word
    finally:
        ended.set()
        del os.environ[VARIABLE]
        shutil.rmtree(folder, ignore_errors=True)


def tell_failure(failures: Mapping[int, Ending], logs: Path, word: LastWord | None = None) -> int:
    """Name the process that failed first, with its last lines; its exit code.

    Args:
        failures: Number of the process → how it ended.
        logs: Folder with the output of each.
        word: Whom the processes of this machine have found to be gone.
    """
    rank = _first(failures)
    failure = failures[rank]
    file = logs / f"rank-{rank}.log"
    code = failure.code
    if code < 0:
        how = f"was ended by signal {-code} ({_signal_name(-code)})"
        if -code == signal.SIGKILL:
            how += "; where nobody did that, the system may have been out of memory: see `dmesg`"
    else:
        how = f"ended with exit code {code}"
    if code == TERMINATED or (rank == 0 and code in (MENDABLE, LOST)):
        return code  # it has said so on the screen
    if code == LOST and word is not None:
        say_error(other_gone(logs.parent, word))
        return code
    said = _last_lines(file) if rank != 0 and code > 0 and code != LOST else ""
    say_error(
        EnvironmentFault(
            f"rank {rank} (process {failure.pid} on {platform.node()}) {how}; the others were "
            f"stopped{said}",
            hint=f"its output is in {file}; {_way_on(logs.parent)}",
        )
    )
    return code if code > 0 else BUG


def _signal_name(number: int) -> str:
    return next((one.name for one in signal.Signals if one == number), "a real-time signal")


def _way_on(output: Path) -> str:
    if any(output.glob("checkpoint-*")):
        return "go on from the last checkpoint with --resume_from_checkpoint=true"
    return "there is no checkpoint yet"


def _first(failures: Mapping[int, Ending]) -> int:
    """Who failed by itself, rather than because another had gone; of several, who did first."""

    def order(rank: int) -> tuple[bool, bool, float, int]:
        code = failures[rank].code
        return code == LOST, code == _SIGNAL_OF_LAUNCHER, failures[rank].at, rank

    return min(failures, key=order)


def _last_lines(file: Path) -> str:
    try:
        lines = file.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return ""  # it may be on the disk of another machine, or have ended before it wrote
    return "".join(f"\n    | {line}" for line in lines[-_LAST_LINES:])


def other_gone(output: Path, word: LastWord | None) -> EnvironmentFault:
    """The run has begun, and a process of another machine has gone, or its launcher.

    Args:
        output: Folder of the run.
        word: Whom the processes of this machine have found to be gone.
    """
    what = word.what if word else "the launcher of another machine has gone"
    return EnvironmentFault(
        f"{what}; the processes of this machine were stopped",
        hint=f"what the other machine printed says why; {_way_on(output)}",
    )


def no_meeting(words: Sequence[str], error: Exception) -> EnvironmentFault:
    """Why the machines do not find each other.

    Args:
        words: What torchrun was told.
        error: What it said.
    """
    told = dict(word[2:].split("=", 1) for word in words if word.startswith("--") and "=" in word)
    place = told.get("rdzv-endpoint", "this machine")
    first = "; the machine of that name must be the one with --node_rank 0"
    return EnvironmentFault(
        f"the machines did not meet at {place}: {str(error).splitlines()[0]}",
        where="--rdzv_endpoint",
        hint=f"all {told.get('nnodes', '1')} machines must run the same command, reach {place} by that "
        "name (try `nc -zv HOST PORT` from each), and have the same --rdzv_id; a firewall may be in "
        "between, or the port be taken" + (first if "node-rank" in told else ""),
    )


if __name__ == "__main__":
    raise SystemExit(run_agent(sys.argv[1:]))
