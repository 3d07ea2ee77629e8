"""torchrun, which says in one message which process ended a run, and where its output is.

    python -m axolotl.cli.launch.agent LOGS TORCHRUN-OPTIONS -m axolotl.cli.train CONFIG …

It is what `axolotl train --nproc N` turns into.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from axolotl.cli._exit import BUG, LOST, MENDABLE
from axolotl.cli._say import say_error
from axolotl.errors import EnvironmentFault

_LAST_LINES = 12
_SIGNAL_OF_LAUNCHER = -signal.SIGTERM


def run_agent(arguments: Sequence[str]) -> int:
    """Start the processes, wait for them, and say which one failed.

    Args:
        arguments: Folder of the logs, then what torchrun takes.

    Returns:
        0, or the exit code: that of the process that failed first, 1 where a signal ended it.
    """
    logs, *words = arguments
    begun = time.time()
    logging.disable(logging.ERROR)  # torchrun's own lines say less, in more of them
    own = os.environ.get("TORCH_CPP_LOG_LEVEL")
    os.environ["TORCH_CPP_LOG_LEVEL"] = own or "ERROR"
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous.api import RendezvousError
    from torch.distributed.run import parse_args, run

    if own is None:  # torch has read it by now; it is not for the processes
        del os.environ["TORCH_CPP_LOG_LEVEL"]
    try:
        run(parse_args(words))
    except ChildFailedError as error:
        return tell_failure(error.failures, Path(logs))
    except SignalException as error:
        return 0 if _saved(Path(logs).parent, since=begun) else 128 + int(error.sigval)
    except (RendezvousError, ConnectionError, TimeoutError) as error:
        began = any(file.stat().st_mtime >= begun for file in Path(logs).glob("rank-*.log"))
        say_error(other_gone(Path(logs).parent) if began else no_meeting(words, error))
        return LOST if began else MENDABLE
    return 0


def tell_failure(failures: Mapping[int, Any], logs: Path) -> int:
    """Name the process that failed first, with its last lines; its exit code.

    Args:
        failures: Number of the process → what torchrun knows of its end.
        logs: Folder with the output of each.
    """
    rank = _first(failures)
    failure = failures[rank]
    file = logs / f"rank-{rank}.log"
    code = failure.exitcode
    if code < 0:
        how = f"was ended by signal {-code} ({failure.signal_name()})"
        if -code == signal.SIGKILL:
            how += "; where nobody did that, the system may have been out of memory: see `dmesg`"
    else:
        how = f"ended with exit code {code}"
    if rank == 0 and code in (MENDABLE, LOST):
        return code  # it has said so on the screen
    said = _last_lines(file) if rank != 0 and code > 0 and code != LOST else ""
    say_error(
        EnvironmentFault(
            f"rank {rank} (process {failure.pid} on {os.uname().nodename}) {how}; the others were "
            f"stopped{said}",
            hint=f"its output is in {file}; {_way_on(logs.parent)}",
        )
    )
    return code if code > 0 else BUG


def _way_on(output: Path) -> str:
    if any(output.glob("checkpoint-*")):
        return "go on from the last checkpoint with --resume_from_checkpoint=true"
    return "there is no checkpoint yet"


def _saved(output: Path, *, since: float) -> bool:
    """Whether a run that was told to stop has written its result, of which run.json comes last."""
    record = output / "run.json"
    return record.exists() and record.stat().st_mtime >= since


def _first(failures: Mapping[int, Any]) -> int:
    """Who failed by itself, rather than because another had gone; of several, who did first."""

    def order(rank: int) -> tuple[bool, bool, float, int]:
        failure = failures[rank]
        code = failure.exitcode
        return code == LOST, code == _SIGNAL_OF_LAUNCHER, failure.timestamp, rank

    return min(failures, key=order)


def _last_lines(file: Path) -> str:
    try:
        lines = file.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return ""  # it may be on the disk of another machine, or have ended before it wrote
    return "".join(f"\n    | {line}" for line in lines[-_LAST_LINES:])


def other_gone(output: Path) -> EnvironmentFault:
    """The run has begun, and the launcher of another machine does not answer any more.

    Args:
        output: Folder of the run.
    """
    return EnvironmentFault(
        "the launcher of another machine has gone; the processes of this one were stopped",
        hint=f"what it printed says why; {_way_on(output)}",
    )


def no_meeting(words: Sequence[str], error: Exception) -> EnvironmentFault:
    """Why the machines do not find each other.

    Args:
        words: What torchrun was told.
        error: What it said.
    """
    told = dict(word[2:].split("=", 1) for word in words if word.startswith("--") and "=" in word)
    place = told.get("rdzv-endpoint", "this machine")
    return EnvironmentFault(
        f"the machines did not meet at {place}: {str(error).splitlines()[0]}",
        where="--rdzv_endpoint",
        hint=f"all {told.get('nnodes', '1')} machines must run the same command, reach {place} by that "
        "name (try `nc -zv HOST PORT` from each), and have the same --rdzv_id; a firewall may be in "
        "between, or the port be taken",
    )


if __name__ == "__main__":
    raise SystemExit(run_agent(sys.argv[1:]))
