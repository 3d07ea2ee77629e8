"""DeepSpeed on CPUs: processes exchange by gloo, and nothing is compiled before the first step.

DeepSpeed (0.19) has an exchange of its own for processes of one machine without GPUs, and no option
against it. It is compiled in each process at the first start, which takes a minute or several, needs
a compiler, and waits for ever for a lock that a killed start has left. It saves little: such runs
are for trying things out.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

_OP = "deepspeed_shm_comm"


def exchange_by_gloo() -> ExitStack:
    """Let a DeepSpeed engine that is made meanwhile do without its compiled exchange.

    Returns:
        What undoes the change.
    """
    import deepspeed

    compatible: Any = deepspeed.ops.__compatible_ops__
    undo = ExitStack()
    before = compatible.get(_OP)
    if before:
        compatible[_OP] = False
        undo.callback(compatible.__setitem__, _OP, before)
    return undo
