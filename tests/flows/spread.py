"""Runs over several processes, all started once, and what is found of each."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from axolotl.training.callbacks.metrics import MEASURED, read_metrics
from tests.flows.conftest import write_rows

WORKER = Path(__file__).with_name("several_runs.py")
LORA = {"adapter": "lora", "lora_r": 4, "lora_target_linear": True}
FSDP: dict[str, Any] = {"fsdp": ["full_shard", "auto_wrap"]}
TOLERANCE = 1e-4


def free_port() -> str:
    """A port of this machine that nobody listens on: tests may run beside each other."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


@dataclass(frozen=True)
class Ran:
    """One run that has ended.

    Args:
        folder: Its output folder.
        seen: What each process saw.
    """

    folder: Path
    seen: list[dict[str, Any]]

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What was logged, without what is measured."""
        assert all("error" not in each for each in self.seen), self.seen
        logged = read_metrics(self.folder / "metrics.jsonl")
        return [{k: v for k, v in line.items() if k not in (*MEASURED, "epoch")} for line in logged]

    @property
    def record(self) -> dict[str, Any]:
        """What `run.json` says."""
        return json.loads((self.folder / "run.json").read_text())

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        """What was trained."""
        (file,) = self.folder.glob("*model.safetensors")
        return load_file(file)


class Several:
    """Trains several configurations, one after the other, on the same processes.

    Args:
        root: A folder for all of them.
        model: The base model.
        changes: What they have in common besides.
    """

    def __init__(self, root: Path, model: Path, **changes: Any) -> None:
        self.root = root
        self.common: dict[str, Any] = {
            "base_model": str(model),
            "datasets": [{"path": str(write_rows(root / "rows.jsonl")), "type": "alpaca"}],
            "dataset_prepared_path": str(root / "store"),
            "val_set_size": 7,
            "sequence_len": 256,
            "sample_packing": True,
            "micro_batch_size": 2,
            "gradient_accumulation_steps": 2,
            "num_epochs": 2,
            "learning_rate": 1e-3,
            "max_grad_norm": 0.5,
            "logging_steps": 1,
            "save_steps": 2,
            "eval_steps": 2,
            **changes,
        }

    def run(self, runs: Mapping[str, Mapping[str, Any]], *, processes: int = 2) -> dict[str, Ran]:
        """Train all; name → options that differ, `resume` among them: the name of another run."""
        made = [
            {
                "name": name,
                "unlike": name.startswith("unlike"),
                "options": {**self.common, **self._own(name, dict(options))},
            }
            for name, options in runs.items()
        ]
        file = self.root / "runs.json"
        file.write_text(json.dumps(made))
        launch = ["-m", "torch.distributed.run", "--nproc_per_node", str(processes)]
        done = subprocess.run(
            [sys.executable, *launch, "--master_port", free_port(), str(WORKER), str(file)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=400,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            check=False,
        )
        assert done.returncode == 0, done.stderr[-6000:]
        (self.root / "said.txt").write_text(done.stderr)
        return {
            name: Ran(
                self.root / name,
                [
                    json.loads((self.root / f"{name}.{r}.json").read_text())
                    for r in range(processes)
                ],
            )
            for name in runs
        }

    def _own(self, name: str, options: dict[str, Any]) -> dict[str, Any]:
        if other := options.pop("resume", None):
            options["resume_from_checkpoint"] = str(self.root / other / "checkpoint-2")
        return {"output_dir": str(self.root / name), **options}


def assert_same_run(got: Ran, want: Ran, *, since_step: int = 0) -> None:
    """Losses, gradient norms and rates of every step, evaluations, and the weights at the end."""
    expected = [line for line in want.lines if line["step"] > since_step]
    found = [line for line in got.lines if line["step"] > since_step]
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        assert one == {k: pytest.approx(v, rel=TOLERANCE) for k, v in other.items()}
    mine, yours = got.weights, want.weights
    assert mine.keys() == yours.keys()
    assert all(torch.allclose(mine[k], yours[k], atol=1e-5) for k in yours)


def assert_same_bits(got: Ran, want: Ran) -> None:
    """A resume is bit for bit the run that was not interrupted."""
    mine, yours = got.weights, want.weights
    assert mine.keys() == yours.keys()
    assert all(torch.equal(mine[k], yours[k]) for k in yours)
