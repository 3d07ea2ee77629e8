"""FSDP 2 on CPUs: accelerate turns it on for several GPUs, and for several CPUs runs DDP without a word.

torch shards models on CPUs as on GPUs. accelerate (1.15) looks at `fsdp_plugin` only where the
processes have an accelerator each: `AcceleratorState` leaves the kind of processes at `MULTI_CPU`,
and the model is replicated. Its own state is completed here as it does itself for GPUs.
"""

from __future__ import annotations

import functools
from contextlib import ExitStack
from typing import Any

from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType


def fsdp_on_cpu() -> ExitStack:
    """Let an `Accelerator` that is made meanwhile, and is given an FSDP plugin, use it on CPUs too.

    Returns:
        What undoes the change; the state that was made stays.
    """
    undo = ExitStack()
    # The state is one for the whole process, and is filled in where it is made: there is no hook.
    state: Any = AcceleratorState
    made = state.__init__

    @functools.wraps(made)
    def with_fsdp(self: Any, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        plugin = kwargs.get("fsdp_plugin")
        if plugin is None or self.distributed_type != DistributedType.MULTI_CPU:
            return
        if self._mixed_precision != "no":
            plugin.set_mixed_precision(self._mixed_precision)
        self.distributed_type = DistributedType.FSDP
        self.fsdp_plugin = plugin
        # Both are asked: without this, states are gathered as those of DDP.
        shared: Any = PartialState
        shared._shared_state["distributed_type"] = DistributedType.FSDP

    state.__init__ = with_fsdp
    undo.callback(setattr, state, "__init__", made)
    return undo
