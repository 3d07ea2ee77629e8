"""Two workers of Ray: the losses of one process, also where one worker is killed on the way."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from axolotl import api
from axolotl.training.callbacks.metrics import MEASURED, read_metrics

pytest.importorskip("ray", reason="Ray is not installed: pip install 'axolotl[ray]'")
pytestmark = pytest.mark.slow
Options = Callable[..., dict[str, Any]]
STEPS, SAVED, KILLED = 12, 5, 7
DYING = """
import sys
from axolotl.cli import train
from axolotl.cli.launch import ray_cluster

mark, killed = sys.argv.pop(1), int(sys.argv.pop(1))

def run_worker(job):
    import os, pathlib, signal
    from axolotl.cli.launch.ray_cluster import run_worker
    from axolotl.training.trainer import PackedTrainer

    step, once = PackedTrainer.training_step, pathlib.Path(mark)

    def dying(self, *args, **kwargs):
        if os.environ["RANK"] == "1" and self.state.global_step == killed and not once.exists():
            import psutil

            mine = os.environ["AXOLOTL_TESTED_BY"]
            found = psutil.process_iter(["name", "environ"])
            of_ray = [p for p in found if mine in (p.info["environ"] or {}).values()]
            once.write_text(" ".join(p.info["name"] for p in of_ray))
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, *args, **kwargs)

    PackedTrainer.training_step = dying
    return run_worker(job)

ray_cluster.run_worker = run_worker
train.main()
"""
"""The command, whose second worker is killed, once, in a step behind the first checkpoint.

It leaves the names of the processes of its run.
"""
REFUSED = """
import sys
from axolotl.cli import train
from axolotl.cli.launch import ray_cluster

starts = sys.argv.pop(1)

def run_worker(job):
    import os, pathlib
    from axolotl.cli.launch.ray_cluster import run_worker
    from axolotl.errors import DataError
    from axolotl.training.trainer import PackedTrainer

    step = PackedTrainer.training_step

    def refused(self, *args, **kwargs):
        if os.environ["RANK"] == "1" and self.state.global_step == 2:
            raise DataError("no text in it", where="rows.jsonl row 17", hint="write some")
        return step(self, *args, **kwargs)

    with pathlib.Path(starts).open("a") as file:
        file.write(os.environ["RANK"])
    PackedTrainer.training_step = refused
    return run_worker(job)

ray_cluster.run_worker = run_worker
train.main()
"""
"""The command, whose second worker meets a bad row; each start of a worker leaves its number."""
MARK = "AXOLOTL_TESTED_BY"
"""A variable that all processes of a run take from the command; others on this machine have Ray too."""


def run(program: list[str], file: Path, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, *program, str(file), "--launcher", "ray", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=500,
        env=os.environ | {"OMP_NUM_THREADS": "1", MARK: str(file)},
        check=False,
    )
    return done.returncode, done.stdout


def still_running(file: Path) -> list[str]:
    """Command lines of the processes that the run of a file has left."""
    found = psutil.process_iter(["cmdline", "environ"])
    mine = [one for one in found if (one.info["environ"] or {}).get(MARK) == str(file)]
    return [" ".join(one.info["cmdline"] or []) for one in mine]


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
        save_strategy="steps",
        save_steps=SAVED,
        evaluation_strategy="no",
        optimizer="sgd",
        learning_rate=0.05,
    )
    storage = tmp_path / "shared"
    out = storage / "result"
    file, dying = tmp_path / "run.yml", tmp_path / "dying.py"
    file.write_text(yaml.safe_dump(options | {"output_dir": "result"}))
    dying.write_text(DYING)
    words = ("--ray_num_workers", "2", "--ray_max_failures", "1", "--ray_storage_path")
    program = [str(dying), str(tmp_path / "killed"), str(KILLED)]
    resources = ("--ray_resources_per_worker", '{"CPU": 0.5}')
    code, said = run(program, file, *words, str(storage), *resources)
    assert code == 0, said
    assert {"raylet", "gcs_server"} <= {*(tmp_path / "killed").read_text().split()}
    for rank in (0, 1):
        log = (out / "logs" / f"rank-{rank}.log").read_text()
        assert log.count(f"--- rank {rank}, process") == 2, "it was not started anew"
        assert f"resuming from {out / f'checkpoint-{SAVED}'}" in log
    assert not list(out.glob("logs/*.started"))
    assert f"axolotl report {out}" in said, "the end of the run is not said"
    assert (out / "model.safetensors").exists()
    deadline = time.monotonic() + 120  # some of them end after the command
    while left := still_running(file):
        assert time.monotonic() < deadline, f"something of Ray is left running: {left}"
        time.sleep(0.2)

    api.train(options | {"output_dir": str(tmp_path / "one"), "gradient_accumulation_steps": 2})
    for got, want in zip(figures(out), figures(tmp_path / "one"), strict=True):
        assert got == {k: pytest.approx(v, rel=1e-4) for k, v in want.items()}


def test_what_the_user_has_to_mend_is_not_tried_again(
    tiny_options: Options, tmp_path: Path
) -> None:
    file, program, starts = tmp_path / "run.yml", tmp_path / "refused.py", tmp_path / "starts"
    options = tiny_options(micro_batch_size=1, max_steps=STEPS, evaluation_strategy="no")
    file.write_text(yaml.safe_dump(options))
    program.write_text(REFUSED)
    words = ("--ray_num_workers", "2", "--ray_max_failures", "3")
    resources = ("--ray_resources_per_worker", '{"CPU": 0.5}')
    code, said = run([str(program), str(starts)], file, *words, *resources)
    assert code == 2, said
    assert "rows.jsonl row 17: no text in it\n  hint: write some" in said
    assert sorted(starts.read_text()) == ["0", "0", "1", "1"], "once, and once to be told"
    log = Path(options["output_dir"]) / "logs" / "rank-1.log"
    assert log.read_text().count("--- rank 1, process") == 1
    assert not list(log.parent.glob("*.started"))


def test_more_than_there_is_is_not_waited_for(tiny_options: Options, tmp_path: Path) -> None:
    file = tmp_path / "run.yml"
    file.write_text(yaml.safe_dump(tiny_options()))
    program = ["-m", "axolotl.cli.main", "train"]
    code, said = run(program, file, "--ray_num_workers", "1000")
    assert code == 2, said
    assert "1000 workers take 1000 CPU" in said
