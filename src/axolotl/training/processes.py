"""The processes of a run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from accelerate import PartialState

from axolotl.config.distributed import DistributedSection
from axolotl.core.console import note
from axolotl.errors import EnvironmentFault
from axolotl.training.arguments import DDP
from axolotl.training.distributed.launched import file_alone_holds

BOTH = "cuda:nccl,cpu:gloo"
"""What carries tensors of GPUs and those of CPUs."""


def each_process() -> str:
    """What to say behind a count that is one process's: nothing where there is one."""
    count = PartialState().num_processes
    return f" on each of {count:,} processes" if count > 1 else ""


def join_processes(options: DistributedSection) -> PartialState:
    """Join the process group, where there are several processes, and say what has no use for it."""
    file_alone_holds(options, os.environ)
    _has_a_gpu_of_its_own(os.environ)
    patience: dict[str, Any] = {}
    if options.ddp_timeout is not None:
        patience["timeout"] = timedelta(seconds=options.ddp_timeout)
    if options.fsdp and torch.cuda.is_available() and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        _exchange_by_both(patience)
    # Without being told, it looks for GPUs alone, and each process would take itself for the only one.
    state = PartialState(cpu=not torch.cuda.is_available(), **patience)
    if options.fsdp and state.num_processes == 1:
        raise EnvironmentFault(
            "there is one process, and so nothing to spread the model over",
            where="fsdp",
            hint="start several, such as `axolotl train --nproc 2 …`, or remove fsdp",
        )
    idle = [key for key in DDP if getattr(options, key) is not None]
    if idle and state.num_processes == 1:
        note(f"{', '.join(idle)}: no effect, because there is one process")
    return state


def _has_a_gpu_of_its_own(environment: Mapping[str, str]) -> None:
    """Refuse more processes of a machine than it has GPUs: CUDA would only know of an invalid device.

    Raises:
        EnvironmentFault: there are more.
    """
    gpus, own = torch.cuda.device_count(), int(environment.get("LOCAL_RANK", "0"))
    if gpus and own >= gpus:
        asked = environment.get("LOCAL_WORLD_SIZE", str(own + 1))
        raise EnvironmentFault(
            f"{asked} processes on this machine, and {gpus} GPU{'s' if gpus > 1 else ''}",
            where="--nproc",
            hint=f"write --nproc {gpus}, or CUDA_VISIBLE_DEVICES= before the command to train on the CPU",
        )


def _exchange_by_both(patience: dict[str, Any]) -> None:
    """Make a process group that carries tensors of CPUs too.

    FSDP has such ones where weights are offloaded or gathered, and where all take those of the first
    process. accelerate would ask for both only if FSDP had been turned on by its own variables.
    """
    if not dist.is_initialized():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        dist.init_process_group(BOTH, **patience)
