"""How many threads each of several processes of a machine computes with."""

from __future__ import annotations

import os
from collections.abc import Mapping


def thread_settings(nproc: str, environment: Mapping[str, str]) -> dict[str, str]:
    """`OMP_NUM_THREADS` for each process: the cores of the machine, shared out.

    torchrun by itself takes one thread each, which leaves cores of a CPU machine idle; without any
    number each process takes all, and they get in each other's way.

    Args:
        nproc: Processes of this machine; where it is no number, one thread each.
        environment: Variables that there are; what the user has set stays.
    """
    if environment.get("OMP_NUM_THREADS"):
        return {}
    processes = int(nproc) if nproc.isdecimal() else usable_cores()
    return {"OMP_NUM_THREADS": str(max(1, usable_cores() // max(1, processes)))}


def usable_cores() -> int:
    """Cores that this process may use; a container or SLURM may give it fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
