"""What is held in memory, and where it is said."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from axolotl.training import memory
from axolotl.training.callbacks.first_memory import FirstMemory
from axolotl.training.callbacks.metrics import MEASURED, MetricsFile, read_metrics
from axolotl.training.counters import RunCounters
from axolotl.training.memory import memory_figures

CPU = torch.device("cpu")


def test_main_memory_is_what_the_process_holds() -> None:
    before = memory_figures(CPU)
    block = torch.ones(200 << 20, dtype=torch.uint8)
    after = memory_figures(CPU)
    assert after["memory_bytes"] - before["memory_bytes"] >= block.numel() * 0.9
    assert after["peak_memory_bytes"] >= after["memory_bytes"] * 0.99
    assert set(after) < set(MEASURED)


def test_a_gpu_says_what_torch_holds_there(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"memory_allocated": 1, "max_memory_allocated": 2, "memory_reserved": 3}
    for name, value in given.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    assert memory_figures(torch.device("cuda")) == {
        "memory_bytes": 1,
        "peak_memory_bytes": 2,
        "reserved_memory_bytes": 3,
    }


def test_a_system_that_does_not_tell_what_is_held_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_STATUS", Path("/not/there"))
    assert set(memory_figures(CPU)) == {"peak_memory_bytes"}


def test_it_is_said_once_and_stands_in_every_line_with_a_loss(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = SimpleNamespace(device=CPU)
    callback, metrics = FirstMemory(), MetricsFile(tmp_path / "metrics.jsonl", RunCounters())
    for step in (7, 8):
        state = SimpleNamespace(global_step=step, epoch=0.1, is_world_process_zero=True)
        callback.on_step_end(args, state, None)
        metrics.on_log(args, state, None, {"loss": 1.0})
        metrics.on_log(args, state, None, {"eval_loss": 1.0})
    said = capsys.readouterr().err
    assert said.count("memory after the first step: ") == 1
    assert re.search(r"at most [\d.]+ [MG]B\b", said), "in the unit of every other figure"
    lines = read_metrics(metrics.file)
    assert [line["step"] for line in lines if "peak_memory_bytes" in line] == [7, 8]
