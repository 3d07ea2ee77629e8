"""Whether what fails in this process is the doing of another one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed as dist

from axolotl.errors import EnvironmentFault, ProcessLost
from axolotl.training.ranks.pulse import Pulse

_WAITS_S = 4.0
"""How long after an error of the network it is found out at most who has gone."""
_NETWORK = re.compile(
    r"\b(gloo|nccl|tcpstore|sockets?\b|broken pipe|unreachable|pair closure|"
    r"connection (closed|reset|refused|timed out))",
    re.IGNORECASE,
)
_TIMEOUT = re.compile(r"timed out|timeout", re.IGNORECASE)


@contextmanager
def naming_lost(pulse: Pulse) -> Iterator[None]:
    """Where the exchange of the body fails, say whose fault it is: of one that has gone, or is late.

    Args:
        pulse: Knows the others.

    Raises:
        ProcessLost: it is that of another process; with the error itself in its second line.
    """
    try:
        yield
    except EnvironmentFault:
        raise
    except RuntimeError as error:
        if not pulse.needs(0) or not of_network(error):
            raise
        if (lost := pulse.wait_lost(_WAITS_S)) is not None:
            raise lost_process(f"{lost}\n    seen here as: {_first_line(error)}") from error
        if _TIMEOUT.search(str(error)) and (late := pulse.behind()):
            raise lost_process(
                f"{'; '.join(late)}, and was waited for too long\n    seen here as: {_first_line(error)}"
            ) from error
        raise


def of_network(error: RuntimeError) -> bool:
    """Whether an error is of the exchange between processes.

    Args:
        error: What was raised.

    >>> of_network(RuntimeError("[gloo/transport/tcp/pair.cc:553] Connection closed by peer"))
    True
    >>> of_network(RuntimeError("DataLoader timed out after 60 seconds"))
    False
    >>> of_network(RuntimeError("CUDA error: peer mapping resources exhausted"))
    False
    """
    return isinstance(error, dist.DistError) or bool(_NETWORK.search(str(error)))


def lost_process(what: str) -> ProcessLost:
    """The error of a process that cannot go on without another one.

    Args:
        what: Who has gone, or is late.
    """
    return ProcessLost(
        what,
        hint="its output is in the file `logs/rank-N.log` of the output folder; go on from the last "
        "checkpoint with --resume_from_checkpoint=true",
    )


def _first_line(error: RuntimeError) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
