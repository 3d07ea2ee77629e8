"""Several trainings, one after the other, in the processes that torchrun has started.

Starting processes and importing the libraries takes longer than training a tiny model. It is called
with a JSON file: a list of `{"name", "options"}`. An error of the user ends its run alone; what it
says, and what is seen of the model, is left in `<name>.<rank>.json` beside the file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from axolotl import api
from axolotl.errors import AxolotlError
from axolotl.training.trainer import PackedTrainer

seen: dict[str, Any] = {}
step = PackedTrainer.training_step
prepare = PackedTrainer._prepare_for_training  # pyright: ignore[reportPrivateUsage]


def looking(self: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
    """One step; what the model is by then."""
    if "wrapper" not in seen:
        weights = [p for p in model.parameters() if p.requires_grad]
        seen["wrapper"] = type(model).__name__
        seen["weights"] = sorted({type(p.data).__name__ for p in weights})
        seen["kind"] = str(self.accelerator.distributed_type)
        seen["held"] = sum(getattr(p, "to_local", lambda p=p: p)().numel() for p in weights)
        seen["units"] = sum(type(m).__name__.startswith("FSDP") for m in model.modules())
        seen["stage"] = self.zero_stage
        seen["optimizer"] = type(getattr(self.optimizer, "optimizer", self.optimizer)).__name__
    return step(self, model, *args, **kwargs)


def unlike(self: Any, *args: Any, **kwargs: Any) -> Any:
    """Prepare a training; the second process begins with other weights if it is to."""
    if seen.pop("unlike", False) and dist.get_rank() == 1:
        with torch.no_grad():
            for weight in self.model.parameters():
                weight.mul_(1.5)
    return prepare(self, *args, **kwargs)


def main(file: Path) -> None:
    """Train each."""
    torch.set_num_threads(1)
    PackedTrainer.training_step = looking
    PackedTrainer._prepare_for_training = unlike  # pyright: ignore[reportPrivateUsage]
    for run in json.loads(file.read_text()):
        seen.clear()
        seen["unlike"] = run.get("unlike", False)
        try:
            api.train(run["options"])
        except AxolotlError as error:
            seen["error"] = str(error)
        rank = dist.get_rank() if dist.is_initialized() else 0
        file.with_name(f"{run['name']}.{rank}.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
