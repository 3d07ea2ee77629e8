"""How a run is spread over processes: what its options ask for, and what the libraries made of it.

That the two are the same is not to be taken for granted: where a library does not cut a model up, it
trains on without a word, each process with the whole model.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import Enum
from typing import Any

from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel

from axolotl.config.distributed import DistributedSection
from axolotl.errors import EnvironmentFault
from axolotl.resolve.deepspeed_json import read_deepspeed, zero_stage
from axolotl.training.distributed.fsdp import reshards
from axolotl.training.distributed.parts import is_sharded


class Method(Enum):
    """What a process holds of the model; the values are those of `run.json`."""

    ALONE = "one process"
    DDP = "DDP"
    FSDP = "FSDP full_shard"
    FSDP_GRADIENTS = "FSDP shard_grad_op"
    ZERO_0 = "DeepSpeed ZeRO 0"
    ZERO_1 = "DeepSpeed ZeRO 1"
    ZERO_2 = "DeepSpeed ZeRO 2"
    ZERO_3 = "DeepSpeed ZeRO 3"


_WHOLE = (Method.DDP, Method.ZERO_0)
"""With these each process holds all of it."""


def asked_method(options: DistributedSection, *, processes: int) -> Method:
    """What the options ask for, in so many processes."""
    if options.deepspeed:
        return Method(f"DeepSpeed ZeRO {zero_stage(read_deepspeed(options.deepspeed))}")
    if options.fsdp:
        return Method.FSDP if reshards(options) else Method.FSDP_GRADIENTS
    return Method.DDP if processes > 1 else Method.ALONE


def method_of(model: Any, *, reshards: bool = True) -> Method:
    """What became of a model, which the library has made ready for training.

    Args:
        model: What forward passes go through.
        reshards: Whether FSDP was told to free gathered weights after a forward pass.
    """
    deepspeed: Any = sys.modules.get("deepspeed")
    if deepspeed is not None and isinstance(model, deepspeed.DeepSpeedEngine):
        return Method(f"DeepSpeed ZeRO {model.zero_optimization_stage()}")
    if isinstance(model, FSDPModule) and is_sharded(model):  # pyright: ignore[reportArgumentType]
        return Method.FSDP if reshards else Method.FSDP_GRADIENTS
    return Method.DDP if isinstance(model, DistributedDataParallel) else Method.ALONE


@dataclass(frozen=True, slots=True)
class Spread:
    """How a run is spread.

    Args:
        processes: How many there are, on all machines.
        machines: How many machines, or containers.
        method: What each process holds.
    """

    processes: int
    machines: int
    method: Method

    def __str__(self) -> str:
        machines = "1 machine" if self.machines == 1 else f"{self.machines:,} machines"
        named = self.method.value
        if self.method in _WHOLE:
            named = f"each with the whole model ({named})"
        return f"{self.processes:,} on {machines}, {named}"

    @property
    def said(self) -> dict[str, str]:
        """A line for a table; none of a run that is nothing but one process."""
        return {} if self.method is Method.ALONE else {"processes": str(self)}

    def as_dict(self) -> dict[str, Any]:
        """What `run.json` says of it; the method is null where there is but one process."""
        method = None if self.method is Method.ALONE else self.method.value
        return {"count": self.processes, "machines": self.machines, "method": method}

    def check(self, found: Method) -> None:
        """Hold what was asked for against what came of it.

        Args:
            found: What the library has made of the model.

        Raises:
            EnvironmentFault: it is something else.
        """
        # A launcher's only process is one of DDP as well.
        alone = self.processes == 1 and {found, self.method} == {Method.ALONE, Method.DDP}
        if found is not self.method and not alone:
            key = self.method.value.partition(" ")[0].lower()
            raise EnvironmentFault(
                f"asked for was {self.method.value}, and the installed libraries came to {found.value}",
                where=key if key in DistributedSection.model_fields else None,
                hint="install the versions that this one is tested with: "
                "`pip install -c constraints.txt torch accelerate transformers deepspeed`",
            )
