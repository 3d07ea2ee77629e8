"""Two workers of Ray: the losses of one process, also where one worker is killed on the way."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from axolotl import api
from axolotl.training.callbacks.metrics import MEASURED, read_metrics

pytest.importorskip("ray", reason="Ray is not installed: pip install 'axolotl[ray]'")
pytestmark = pytest.mark.slow
Options = Callable[..., dict[str, Any]]
STEPS = 60


def start(file: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "axolotl.cli.main", "train", str(file), "--launcher", "ray"]
    variables = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*command, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=variables,
    )


def figures(folder: Path) -> list[dict[str, Any]]:
    lines = read_metrics(folder / "metrics.jsonl")
    return [{k: v for k, v in line.items() if k not in (*MEASURED, "epoch")} for line in lines]


def test_a_killed_worker_is_started_anew_and_the_losses_are_those_of_one_process(
    tiny_options: Options, tmp_path: Path
) -> None:
    options = tiny_options(
        sample_packing=False,
        micro_batch_size=1,
        max_steps=STEPS,
        num_epochs=20,
        save_strategy="steps",
        save_steps=5,
        evaluation_strategy="no",
        optimizer="sgd",
        learning_rate=0.05,
    )
    storage = tmp_path / "shared"
    out = storage / "result"
    file = tmp_path / "run.yml"
    file.write_text(yaml.safe_dump(options | {"output_dir": "result"}))
    words = ("--ray_num_workers", "2", "--ray_max_failures", "1", "--ray_storage_path")
    process = start(file, *words, str(storage), "--ray_resources_per_worker", '{"CPU": 0.5}')
    deadline = time.monotonic() + 300
    while not list(out.glob("checkpoint-*")):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    log = out / "logs" / "rank-1.log"
    os.kill(int(re.findall(r"--- rank 1, process (\d+) on", log.read_text())[0]), signal.SIGKILL)
    said, _ = process.communicate(timeout=400)
    assert process.returncode == 0, said
    assert log.read_text().count("--- rank 1, process") == 2, "it was not started anew"
    for rank in (0, 1):
        assert "resuming from" in (out / "logs" / f"rank-{rank}.log").read_text()
    assert not list(out.glob("logs/*.started"))
    assert f"axolotl report {out}" in said, "the end of the run is not said"
    assert (out / "model.safetensors").exists()

    api.train(options | {"output_dir": str(tmp_path / "one"), "gradient_accumulation_steps": 2})
    for got, want in zip(figures(out), figures(tmp_path / "one"), strict=True):
        assert got == {k: pytest.approx(v, rel=1e-4) for k, v in want.items()}


def test_more_than_there_is_is_not_waited_for(tiny_options: Options, tmp_path: Path) -> None:
    file = tmp_path / "run.yml"
    file.write_text(yaml.safe_dump(tiny_options()))
    many = start(file, "--ray_num_workers", "1000")
    said, _ = many.communicate(timeout=200)
    assert many.returncode == 2, said
    assert "1000 workers take 1000 CPU" in said
