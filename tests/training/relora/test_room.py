"""How much of the disk ReLoRA takes is told before the start, and found wanting before each write."""

from __future__ import annotations

import json
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from axolotl import api
from axolotl.errors import EnvironmentFault
from axolotl.models.weights import Weights
from axolotl.training.relora import room, writer
from axolotl.training.relora.room import disk_line, disk_need
from tests.flows.conftest import tiny_options as tiny_options
from tests.flows.test_relora import NF4, RELORA

Options = Callable[..., dict[str, Any]]
Usage = namedtuple("Usage", "total used free")
WEIGHTS = Weights(
    parameters=1_100_000_000,
    trainable=100_000_000,
    frozen_bytes=600_000_000,
    frozen_bytes_whole=4_000_000_000,
    packed=10**9,
    double=True,
)


@pytest.mark.parametrize(
    ("changes", "copies", "gigabytes"),
    [
        ({"save_total_limit": 20}, 2, 3 * 0.6),  # steps 3 and 6 of 8
        ({"relora_steps": 1, "save_total_limit": 2}, 3, 4 * 0.6),
        ({"relora_steps": 8}, 0, 0.6),
        ({"save_strategy": "no", "save_steps": None}, 0, 0.6),
        (NF4 | {"relora_steps": 1, "save_total_limit": 2}, 5, 6 * 4.0),
        (NF4 | {"relora_steps": 1, "save_strategy": "no", "save_steps": None}, 2, 3 * 4.0),
        (NF4 | {"bfloat16": True}, 2, 2 * 4.0 + 2.0),
    ],
)
def test_the_need_is_that_of_all_copies_and_the_result(
    tiny_options: Options, changes: dict[str, Any], copies: int, gigabytes: float
) -> None:
    settings = api.resolved(tiny_options(**RELORA | changes))
    found, needed = disk_need(settings, WEIGHTS, total=8)
    assert (found, needed / 1e9) == (copies, pytest.approx(gigabytes))


def test_the_table_says_it(tiny_options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = api.resolved(tiny_options(**RELORA))
    for free, end in [
        (10**10, "10.0 GB are free"),
        (10**9, "; warning: that is more than is free"),
    ]:
        monkeypatch.setattr(room.shutil, "disk_usage", lambda _, free=free: Usage(0, 0, free))
        line = disk_line(settings, WEIGHTS, total=8)["disk"]
        assert line.startswith("up to 1.80 GB for 2 copies of the merged weights and the result, ")
        assert line.endswith(end)
    assert disk_line(api.resolved(tiny_options()), WEIGHTS, total=8) == {}


@pytest.mark.parametrize("last", ["checkpoint-3", "checkpoint-8"], ids=["copy", "result"])
def test_no_copy_and_no_result_is_written_without_room(
    tiny_options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    out = tmp_path / "out"

    def free(_: Path) -> Usage:
        return Usage(0, 0, 10 if (out / last).exists() else 10**12)

    monkeypatch.setattr(writer.shutil, "disk_usage", free)
    with pytest.raises(EnvironmentFault, match=r"the merged weights need .* 10 bytes are free"):
        api.train(tiny_options(**RELORA))
    names = {path.name for path in out.glob("checkpoint-*")}
    assert names == {f"checkpoint-{step}" for step in range(1, 4 if last[-1] == "3" else 9)}
    assert not (out / "model.safetensors").exists()
    assert json.loads((out / "checkpoint-3" / "trainer_state.json").read_text())["global_step"] == 3
