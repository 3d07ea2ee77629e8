"""`axolotl train --nproc`, and processes of any other launcher: who is lost is named, a restart goes on."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from axolotl.training.callbacks.metrics import read_metrics
from tests.flows.spread import free_port

pytestmark = pytest.mark.slow
Options = Callable[..., dict[str, Any]]


def start(file: Path, *words: str, environment: dict[str, str] | None = None) -> Any:
    command = [sys.executable, "-m", "axolotl.cli.main", "train", str(file), *words]
    variables = os.environ | {"OMP_NUM_THREADS": "1"} | (environment or {})
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables
    )


def written(options: dict[str, Any], folder: Path) -> Path:
    file = folder / "run.yml"
    file.write_text(yaml.safe_dump(options))
    return file


def steps(out: Path) -> list[int]:
    return [line["step"] for line in read_metrics(out / "metrics.jsonl") if "loss" in line]


def wait_for(reached: Callable[[], Any], process: Any) -> None:
    deadline = time.monotonic() + 180
    while not reached():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_killed_process_ends_all_and_a_restart_goes_on(
    tiny_options: Options, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = tiny_options(
        num_epochs=500,
        save_strategy="steps",
        save_steps=2,
        save_total_limit=2,
        evaluation_strategy="no",
        val_set_size=0,
    )
    file = written(options, tmp_path)
    process = start(file, "--nproc", "2")
    wait_for(lambda: list(out.glob("checkpoint-[2-9]*")), process)
    log = (out / "logs" / "rank-1.log").read_text()
    (number,) = re.findall(r"--- rank 1, process (\d+) on", log)
    os.kill(int(number), signal.SIGKILL)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 1, said
    assert f"rank 1 (process {number} on {socket.gethostname()}) was ended by signal 9" in said
    assert "--resume_from_checkpoint=true" in said
    assert said.count("step 2/") == 1, "the screen is for the first process alone"
    assert "step 2/" in (out / "logs" / "rank-0.log").read_text()
    assert "step 2/" in (out / "logs" / "rank-1.log").read_text()

    last = max(int(path.name.partition("-")[2]) for path in out.glob("checkpoint-*"))
    words = ("--nproc", "2", "--resume_from_checkpoint=true", "--max_steps", str(last + 2))
    again = start(file, *words)
    _, said = again.communicate(timeout=180)
    assert again.returncode == 0, said
    assert f"resuming from {out / f'checkpoint-{last}'}" in said
    assert steps(out) == list(range(1, last + 3))
    assert (out / "model.safetensors").exists()


def test_processes_that_are_not_about_to_do_the_same_are_refused(
    tiny_options: Options, tmp_path: Path
) -> None:
    file = written(tiny_options(), tmp_path)
    # As SLURM or a script of one's own starts them: without a launcher that keeps a store.
    there = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    both = [
        start(
            file, "--learning_rate", rate, environment={**there, "RANK": rank, "LOCAL_RANK": rank}
        )
        for rank, rate in (("0", "0.5"), ("1", "0.25"))
    ]
    ends = [process.communicate(timeout=180)[1] for process in both]
    assert both[0].returncode == 2, ends[0]
    assert "learning_rate: 0.5 on rank 0, 0.25 on rank 1" in ends[0]
    assert both[1].returncode in (2, 3)
    kept = (tmp_path / "out" / "logs" / "rank-1.log").read_text()
    assert "learning_rate: 0.5 on rank 0, 0.25 on rank 1" in kept
