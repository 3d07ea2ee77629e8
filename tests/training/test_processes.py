"""How a process joins the others, where that depends on GPUs that are not here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist

from axolotl.config.distributed import DistributedSection
from axolotl.errors import EnvironmentFault
from axolotl.training import processes
from axolotl.training.processes import join_processes

FSDP = DistributedSection.model_validate({"fsdp": ["full_shard", "offload"], "ddp_timeout": 60})


@pytest.mark.parametrize("options", [FSDP, DistributedSection()], ids=["fsdp", "ddp"])
def test_fsdp_on_gpus_exchanges_tensors_of_cpus_too(
    options: DistributedSection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offloaded weights are on CPUs, which NCCL alone cannot exchange."""
    asked: list[tuple[str, Any]] = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: asked.append(("device", device)))
    monkeypatch.setattr(
        dist, "init_process_group", lambda backend, **more: asked.append((backend, more["timeout"]))
    )
    monkeypatch.setattr(
        processes,
        "PartialState",
        lambda **more: asked.append(("state", more["cpu"])) or SimpleNamespace(num_processes=2),
    )
    join_processes(options)
    names = [name for name, _ in asked]
    assert names == (["device", "cuda:nccl,cpu:gloo"] if options.fsdp else []) + ["state"]
    assert asked[-1] == ("state", False)
    assert not options.fsdp or (asked[0][1], asked[1][1].total_seconds()) == (1, 60)


def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(EnvironmentFault, match="4 processes on this machine, and 2 GPUs"):
        join_processes(DistributedSection())
