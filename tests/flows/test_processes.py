"""Two processes on one CPU: together they train what one trains alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import yaml
from safetensors.torch import load_file

from axolotl import api
from axolotl.training.callbacks.metrics import MEASURED, read_metrics
from tests.flows.spread import FSDP, free_port

pytestmark = pytest.mark.slow
Options = Callable[..., dict[str, Any]]
OURS = "axolotl.cli.train"
LORA = {"adapter": "lora", "lora_r": 4, "lora_target_linear": True}


def start(options: dict[str, Any], folder: Path, *, program: str = OURS) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    file = folder / "run.yml"
    file.write_text(yaml.safe_dump(options))
    launch = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", free_port()]
    run = ["-m", program] if program == OURS else [program]
    return subprocess.Popen(
        [sys.executable, *launch, *run, str(file)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def finish(process: subprocess.Popen[str]) -> str:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return errors


def figures(folder: Path) -> list[dict[str, Any]]:
    lines = read_metrics(folder / "metrics.jsonl")
    return [{k: v for k, v in line.items() if k not in (*MEASURED, "epoch")} for line in lines]


ONE_BY_ONE = {"sample_packing": False, "micro_batch_size": 1, "curriculum_sampling": True}
PACKED = {"sample_packing": True, "micro_batch_size": 1, "sequence_len": 220}


@pytest.mark.parametrize(
    ("method", "rows"),
    [({}, ONE_BY_ONE), (LORA, ONE_BY_ONE), ({}, PACKED), (LORA, PACKED)],
    ids=["full", "lora", "full, packed", "lora, packed"],
)
def test_two_processes_train_what_one_trains(
    tiny_options: Options, tmp_path: Path, method: dict[str, Any], rows: dict[str, Any]
) -> None:
    options = tiny_options(
        **method,
        **rows,
        max_steps=10,
        eval_steps=3,
        save_steps=3,
        optimizer="sgd",
        learning_rate=0.5,
        ddp_timeout=120,
        ddp_bucket_cap_mb=1,
        ddp_broadcast_buffers=False,
        ddp_find_unused_parameters=True,
    )
    two, one = tmp_path / "two", tmp_path / "one"
    said = finish(start(options | {"output_dir": str(two)}, tmp_path / "run"))
    assert "no effect, because there is one process" not in said
    assert "FutureWarning" not in said
    words = " ".join(said.split())
    assert "1 rows a step on each of 2 processes" in words
    assert "processes 2 on 1 machine, each with the whole model (DDP)" in words
    api.train(options | {"output_dir": str(one), "gradient_accumulation_steps": 2})
    spread = [json.loads((out / "run.json").read_text())["processes"] for out in (one, two)]
    assert [s["method"] for s in spread] == [None, "DDP"]
    assert [s["count"] for s in spread] == [1, 2]
    packed = rows is PACKED
    if packed:
        plans = [json.loads((out / "run.json").read_text())["plan"] for out in (one, two)]
        assert plans[0]["rows_per_epoch"] % 2 == 1, "no row had to be cut"
        assert plans[0]["steps"] == plans[1]["steps"] == 10
    for got, want in zip(figures(two), figures(one), strict=True):
        assert got.keys() == want.keys()
        assert got == {k: pytest.approx(v, rel=1e-4) for k, v in want.items()}
    name = "adapter_model.safetensors" if method else "model.safetensors"
    got, want = load_file(two / name), load_file(one / name)
    assert all(torch.allclose(got[key], want[key], atol=1e-5) for key in want)


PROBE = """
import json, os, sys
import torch.distributed as dist
from torch.distributed import distributed_c10d
from axolotl import api
from axolotl.training import run
from axolotl.training.trainer import PackedTrainer

step = PackedTrainer.training_step
prepare, preparing = run.prepare, {}

def prepared(*args, **kwargs):
    preparing["group"] = dist.is_initialized()
    done = prepare(*args, **kwargs)
    preparing["from_cache"] = done.summary.from_cache
    return done

run.prepare = prepared

def probed(self, model, *args, **kwargs):
    group = distributed_c10d._get_default_group()
    backend = group._get_backend(next(model.parameters()).device)
    found = {
        **preparing,
        "timeout": backend.options._timeout.total_seconds(),
        "broadcast_buffers": model.broadcast_buffers,
        "find_unused_parameters": model.find_unused_parameters,
        "bucket_cap_mb": model.bucket_bytes_cap / (1 << 20),
    }
    with open(sys.argv[1] + f".{dist.get_rank()}", "w") as out:
        json.dump(found, out)
    return step(self, model, *args, **kwargs)

PackedTrainer.training_step = probed
api.train(sys.argv[1])
"""


def test_options_of_several_processes_reach_them(tiny_options: Options, tmp_path: Path) -> None:
    probe = tmp_path / "probe.py"
    probe.write_text(PROBE)
    options = tiny_options(
        max_steps=1,
        ddp_timeout=77,
        ddp_bucket_cap_mb=3,
        ddp_broadcast_buffers=False,
        ddp_find_unused_parameters=True,
    )
    finish(start(options, tmp_path / "run", program=str(probe)))
    for rank in (0, 1):
        found = json.loads((tmp_path / "run" / f"run.yml.{rank}").read_text())
        assert found == {
            "group": False,
            "from_cache": rank == 1,
            "timeout": 77,
            "broadcast_buffers": False,
            "find_unused_parameters": True,
            "bucket_cap_mb": 3,
        }


def test_a_signal_stops_both_at_the_same_step(tiny_options: Options, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = tiny_options(sample_packing=False, micro_batch_size=1, num_epochs=50)
    process = start(options | {"save_strategy": "no"}, tmp_path / "run")
    deadline = time.monotonic() + 120
    while len(read_metrics(out / "metrics.jsonl")) < 5:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    (checkpoint,) = out.glob("checkpoint-*")
    assert f"checkpoint-{read_metrics(out / 'metrics.jsonl')[-1]['step']}" == checkpoint.name, (
        errors
    )


METHODS: dict[str, dict[str, Any]] = {
    "ddp": {},
    "fsdp": FSDP,
    "zero3": {"deepspeed": str(Path(__file__).parents[2] / "deepspeed" / "zero3.json")},
}
WRITER = """
import os, sys, time
from pathlib import Path
from axolotl import api
from axolotl.training.ranks.muster import Muster

folder, call, write, of_run = Path(sys.argv[1]).parent, Muster.call, api._write_result, []
(folder / f"process-{os.environ['RANK']}").write_text(str(os.getpid()))

def called():
    of_run.append(call())
    return of_run[0]

def watching(trained, output):
    beat, seen = lambda: of_run[0]._post.get("beat", 1), 0
    while not seen or beat()["count"] < seen + 3:
        time.sleep(0.05)
        if not seen and beat()["stands"][1] == "waiting for rank 0 to write and send the result":
            seen = beat()["count"]
    (folder / "writing").touch()
    while not (folder / "go").exists():
        time.sleep(0.05)
    return write(trained, output)

Muster.call, api._write_result = called, watching
api.train(sys.argv[1])
"""
"""A run whose first process writes when the other has given three signs of life, waiting, and `go` is there."""


@pytest.mark.parametrize("method", METHODS)
def test_the_other_process_is_there_until_the_result_is_written(
    tiny_options: Options, tmp_path: Path, method: str
) -> None:
    program, run, out = tmp_path / "writer.py", tmp_path / "run", tmp_path / "out"
    program.write_text(WRITER)
    options = tiny_options(max_steps=1, save_strategy="no", val_set_size=0, **METHODS[method])
    process = start(options, run, program=str(program))
    deadline = time.monotonic() + 240
    while not (run / "writing").exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "the other process gives no sign of life"
        time.sleep(0.05)
    assert not (out / "run.json").exists()
    other = psutil.Process(int((run / "process-1").read_text()))
    assert other.status() != psutil.STATUS_ZOMBIE
    (run / "go").touch()
    finish(process)
    assert not other.is_running()
    assert json.loads((out / "run.json").read_text())["final"]["steps"] == 1
