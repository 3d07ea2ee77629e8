"""DeepSpeed's parts of a checkpoint, for another number of processes than wrote them.

DeepSpeed has a form for that, its universal checkpoint: states by the names of weights, of which each
process reads its own part. It is made of the parts before they are read, beside them, and removed then.
"""

from __future__ import annotations

import io
import shutil
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch import Tensor

from axolotl.core.atomic import disk_faults
from axolotl.core.console import note

_LATEST, _NAMES = "latest", "latest_universal"
_SUFFIX = "_universal"
OPTIMIZERS = frozenset(
    ("adamw_torch", "adamw_torch_fused", "adamw_hf", "adamw_apex_fused", "adamw_anyprecision")
)
"""Those whose states the universal checkpoint knows: averages of the gradient and of its square."""


def written_by(checkpoint: Path) -> int:
    """How many processes wrote the parts of a checkpoint; 0 where DeepSpeed wrote none."""
    latest = checkpoint / _LATEST
    if not latest.is_file():
        return 0
    folder = checkpoint / latest.read_text("utf-8").strip()
    return len(list(folder.glob("*zero_pp_rank_*_optim_states.pt")))


@contextmanager
def dealt_anew(checkpoint: Path, content: dict[str, Any]) -> Iterator[None]:
    """Have parts that another number of processes wrote read by these; on every process.

    What an attempt that failed has left is removed by the next one.

    Args:
        checkpoint: The folder of the checkpoint.
        content: DeepSpeed's configuration, which is told so meanwhile.

    Raises:
        EnvironmentFault: no room on the disk for the states once more.
    """
    before = written_by(checkpoint)
    if before in (0, dist.get_world_size()):
        yield
        return
    if dist.get_rank() == 0:
        note(f"dealing out the states of {before} processes anew")
        with disk_faults(checkpoint):
            _convert(checkpoint)
    dist.barrier()
    content["checkpoint"] = {**content.get("checkpoint", {}), "load_universal": True}
    try:
        yield
    finally:
        content["checkpoint"].pop("load_universal")
    dist.barrier()
    if dist.get_rank() == 0:
        _remove(checkpoint)


def _convert(checkpoint: Path) -> None:
    from deepspeed.checkpoint.ds_to_universal import main

    _remove(checkpoint)
    name = (checkpoint / _LATEST).read_text("utf-8").strip()
    asked = Namespace(
        input_folder=str(checkpoint / name),
        output_folder=str(checkpoint / f"{name}{_SUFFIX}"),
        num_extract_workers=1,  # in this process, which has read the libraries already
        num_merge_workers=1,
        keep_temp_folder=False,
        strict=True,
        inject_missing_state=True,
    )
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        main(asked)
    (checkpoint / _NAMES).write_text(f"{name}{_SUFFIX}", "utf-8")


def _remove(checkpoint: Path) -> None:
    (checkpoint / _NAMES).unlink(missing_ok=True)
    for folder in checkpoint.glob(f"global_step*{_SUFFIX}"):
        shutil.rmtree(folder)


def count_steps_apart(optimizer: Any) -> None:
    """Give each group of weights a count of steps of its own.

    DeepSpeed 0.19 reads one for all groups under ZeRO 3, and torch counts in place: each group would
    count for all of them, and the correction of Adam's averages be that of a later step.

    Args:
        optimizer: What has been loaded.
    """
    for state in optimizer.state.values():
        if isinstance(state.get("step"), Tensor):
            state["step"] = state["step"].clone()
