"""DeepSpeed's ZeRO: optimizer states (1), gradients (2) and weights (3) are cut up."""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from axolotl.config.distributed import DistributedSection
from axolotl.config.training import TrainingSection
from axolotl.errors import EnvironmentFault, ModelError
from axolotl.resolve.deepspeed_json import as_run, read_deepspeed

_GATHERED_AT_ONCE = 1 << 28
"""Elements of the weights that are whole at a time on the way in or out: 1 GiB in fp32."""
ZERO = "latest"
"""Stands in a checkpoint with parts that DeepSpeed wrote, and names their folder."""
_NOT_BUILT = "failed to build/load"
_SWITCHES = ("ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_FSDP")


def deepspeed_arguments(
    options: DistributedSection, training: TrainingSection, *, on_gpu: bool
) -> dict[str, Any]:
    """DeepSpeed as `TrainingArguments` are told of it; nothing where it is not asked for.

    Raises:
        ModelError: the batch that the configuration names is another one.
    """
    if not on_gpu:
        os.environ.setdefault(
            "DS_ACCELERATOR", "cpu"
        )  # else it searches, and says so in each process
    if not options.deepspeed:
        return {}
    content = read_deepspeed(options.deepspeed)
    _check_batch(content, training)
    _alone()
    # Of torch, about names that DeepSpeed calls.
    warnings.filterwarnings("ignore", r"`torch\.distributed\.\w+` is deprecated", FutureWarning)
    return {"deepspeed": as_run(content)}


@contextmanager
def compiler_faults() -> Iterator[None]:
    """Say in the terms of the file that DeepSpeed cannot compile its optimizer for the CPU.

    Raises:
        EnvironmentFault: it cannot.
    """
    try:
        yield
    except RuntimeError as error:
        if _NOT_BUILT not in str(error):
            raise
        why = (str(error.__cause__ or error).strip().splitlines() or [""])[0]
        raise EnvironmentFault(
            "offload_optimizer needs DeepSpeed's optimizer for the CPU, which cannot be compiled or "
            f"loaded: {why}",
            where="deepspeed",
            hint="it takes a C++ compiler, ninja and the headers of Python; `ds_report` names what is "
            "missing; or remove offload_optimizer",
        ) from error


def _check_batch(content: dict[str, Any], training: TrainingSection) -> None:
    world = int(os.environ.get("WORLD_SIZE") or 1)
    rows = training.micro_batch_size * training.gradient_accumulation_steps
    named = content.get("train_batch_size", "auto")
    if named not in ("auto", rows * world):
        raise ModelError(
            f"its train_batch_size is {named}, and micro_batch_size {training.micro_batch_size} x "
            f"gradient_accumulation_steps {training.gradient_accumulation_steps} x {world} processes "
            f"is {rows * world}",
            where="deepspeed",
            hint='write `"train_batch_size": "auto"`',
        )


def _alone() -> None:
    """Tell DeepSpeed that there is one process, where no launcher has said how many there are."""
    if "RANK" in os.environ:
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    here = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"} | here)


def switched_off() -> None:
    """Forget that a run was spread over processes: the libraries keep it for the whole process."""
    for name in _SWITCHES:
        os.environ.pop(name, None)
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()


def gathered_zero3(model: Any, *, only_trained: bool) -> dict[str, Tensor]:
    """The weights of a model under ZeRO 3, whole; on rank 0."""
    found: dict[str, Tensor] = {}
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad or not only_trained]
    for some in _portions(named):
        with _whole([p for _, p in some]):
            if dist.get_rank() == 0:
                found |= {name: p.detach().cpu().clone() for name, p in some}
    if not only_trained and dist.get_rank() == 0:
        kept = model.state_dict().keys()
        found |= {n: b.detach().cpu() for n, b in model.named_buffers() if n in kept}
    return found


def put_zero3(model: Any, read: dict[str, Tensor]) -> None:
    """Put whole weights of rank 0 into a model under ZeRO 3."""
    for some in _portions(list(model.named_parameters())):
        with _whole([p for _, p in some], writes=True), torch.no_grad():
            for name, p in some if dist.get_rank() == 0 else ():
                if name in read:
                    p.copy_(read[name])


def _portions(named: list[tuple[str, Any]]) -> Iterator[list[tuple[str, Any]]]:
    some: list[tuple[str, Any]] = []
    size = 0
    for name, p in named:
        some.append((name, p))
        size += getattr(p, "ds_numel", p.numel())
        if size >= _GATHERED_AT_ONCE:
            yield some
            some, size = [], 0
    if some:
        yield some


@contextmanager
def _whole(weights: list[Any], *, writes: bool = False) -> Iterator[None]:
    from deepspeed import zero

    with zero.GatheredParameters(weights, modifier_rank=0 if writes else None):
        yield


def damaged_zero(folder: Path) -> str | None:
    """The part of a DeepSpeed checkpoint that is missing; None where all is there, or there is none."""
    latest = folder / ZERO
    if not latest.is_file():
        return None
    part = folder / latest.read_text("utf-8").strip()
    if not any(part.glob("*model_states.pt")) or not any(part.glob("*optim_states.pt")):
        return f"{part.name} is not whole"
    return None
