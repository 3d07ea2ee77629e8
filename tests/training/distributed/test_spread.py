"""What a model was made into is seen on the model itself, and held against what was asked for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from axolotl.config.distributed import DistributedSection
from axolotl.errors import EnvironmentFault
from axolotl.training.distributed.spread import Method, Spread, asked_method, method_of


@pytest.fixture
def group(tmp_path: Path) -> Iterator[None]:
    """A process group of this process alone."""
    dist.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1
    )
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("group")
def test_models_are_known_by_what_they_are() -> None:
    model = nn.Linear(4, 4)
    assert method_of(model) is Method.ALONE
    assert method_of(DistributedDataParallel(model)) is Method.DDP
    mesh = init_device_mesh("cpu", (1,))
    cut = fully_shard(nn.Linear(4, 4), mesh=mesh)
    assert method_of(cut) is Method.FSDP
    assert method_of(cut, reshards=False) is Method.FSDP_GRADIENTS


@pytest.mark.usefixtures("group")
def test_a_model_that_only_says_that_it_is_cut_up_is_not() -> None:
    """FSDP leaves out what it is told to."""
    mesh = init_device_mesh("cpu", (1,))
    model = nn.Linear(4, 4)
    cut: Any = fully_shard(model, mesh=mesh, ignored_params=set(model.parameters()))
    assert method_of(cut) is Method.ALONE


def test_the_stage_is_that_of_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    class DeepSpeedEngine(nn.Module):
        def zero_optimization_stage(self) -> int:
            return 2

    made_up = SimpleNamespace(DeepSpeedEngine=DeepSpeedEngine)
    monkeypatch.setitem(sys.modules, "deepspeed", made_up)
    assert method_of(DeepSpeedEngine()) is Method.ZERO_2


@pytest.mark.parametrize(
    ("options", "processes", "method"),
    [
        ({}, 1, Method.ALONE),
        ({}, 2, Method.DDP),
        ({"fsdp": "full_shard auto_wrap"}, 2, Method.FSDP),
        ({"fsdp": ["shard_grad_op"]}, 2, Method.FSDP_GRADIENTS),
        ({"deepspeed": {"zero_optimization": {"stage": 1}}}, 1, Method.ZERO_1),
        ({"deepspeed": {"bf16": {}}}, 2, Method.ZERO_0),
    ],
)
def test_what_options_ask_for(options: dict[str, Any], processes: int, method: Method) -> None:
    asked = asked_method(DistributedSection.model_validate(options), processes=processes)
    assert asked is method


def test_it_is_said_where_there_is_something_to_say() -> None:
    assert Spread(1, 1, Method.ALONE).said == {}
    assert Spread(1, 1, Method.ALONE).as_dict() == {"count": 1, "machines": 1, "method": None}
    assert str(Spread(2, 1, Method.DDP)) == "2 on 1 machine, each with the whole model (DDP)"
    zero = Spread(16, 2, Method.ZERO_3)
    assert zero.said == {"processes": "16 on 2 machines, DeepSpeed ZeRO 3"}
    assert zero.as_dict() == {"count": 16, "machines": 2, "method": "DeepSpeed ZeRO 3"}


def test_the_only_process_of_a_launcher_may_be_one_of_ddp() -> None:
    Spread(1, 1, Method.ALONE).check(Method.DDP)
    with pytest.raises(EnvironmentFault, match="came to DDP"):
        Spread(1, 1, Method.ZERO_2).check(Method.DDP)


@pytest.mark.parametrize(
    ("asked", "where"),
    [(Method.FSDP, "fsdp: "), (Method.ZERO_2, "deepspeed: "), (Method.FSDP_GRADIENTS, "fsdp: ")],
)
def test_what_was_not_asked_for_is_refused(asked: Method, where: str) -> None:
    Spread(2, 1, asked).check(asked)
    with pytest.raises(EnvironmentFault, match=rf"^{where}asked for was .* came to DDP") as raised:
        Spread(2, 1, asked).check(Method.DDP)
    assert "constraints.txt" in str(raised.value)
    with pytest.raises(EnvironmentFault, match=r"^asked for was DDP, and .* came to one process"):
        Spread(2, 1, Method.DDP).check(Method.ALONE)
