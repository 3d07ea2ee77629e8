"""Every launcher starts `axolotl.cli.train` on two processes; the file alone says how the model is cut up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from axolotl.training.callbacks.metrics import read_metrics
from tests.flows.spread import FSDP, free_port

pytestmark = pytest.mark.slow
Options = Callable[..., dict[str, Any]]
MODULE = "axolotl.cli.train"
ZERO2 = {"deepspeed": str(Path(__file__).parents[2] / "deepspeed" / "zero2.json")}
ACCELERATE: dict[str, Any] = {
    "compute_environment": "LOCAL_MACHINE",
    "distributed_type": "MULTI_GPU",  # with MULTI_CPU it starts one process, and leaves more to MPI
    "num_machines": 1,
    "num_processes": 2,
    "machine_rank": 0,
    "mixed_precision": "no",
    "use_cpu": False,
}
ITS_FSDP = {
    "distributed_type": "FSDP",
    "mixed_precision": "bf16",
    "fsdp_config": {"fsdp_version": 2, "fsdp_state_dict_type": "SHARDED_STATE_DICT"},
}


def accelerate(folder: Path, **changes: Any) -> list[str]:
    file = folder / "accelerate.yml"
    file.write_text(yaml.safe_dump(ACCELERATE | changes))
    start = ["-m", "accelerate.commands.accelerate_cli", "launch", "--config_file", str(file)]
    return [*start, "--main_process_port", free_port(), "-m", MODULE]


def torchrun(folder: Path) -> list[str]:
    port = ["--master_port", free_port()]
    return ["-m", "torch.distributed.run", "--nproc_per_node", "2", *port, "-m", MODULE]


def deepspeed(folder: Path) -> list[str]:
    port = ["--master_port", free_port()]
    return ["-m", "deepspeed.launcher.runner", "--num_gpus", "2", *port, "--module", MODULE]


def launch(words: list[str], options: dict[str, Any], folder: Path) -> tuple[int, str]:
    file = folder / "run.yml"
    file.write_text(yaml.safe_dump(options))
    variables = {"OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
    done = subprocess.run(
        [sys.executable, *words, str(file)],
        capture_output=True,
        text=True,
        timeout=400,
        env=os.environ | variables,
        check=False,
    )
    return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize(
    ("launcher", "changes", "method"),
    [
        (accelerate, {}, "DDP"),
        (accelerate, ZERO2, "DeepSpeed ZeRO 2"),
        (torchrun, FSDP, "FSDP full_shard"),
        (deepspeed, {}, "DDP"),
    ],
    ids=["accelerate", "accelerate, zero2", "torchrun, fsdp", "deepspeed, nothing cut up"],
)
def test_a_launcher_starts_two_processes(
    tiny_options: Options,
    tmp_path: Path,
    launcher: Callable[[Path], list[str]],
    changes: dict[str, Any],
    method: str,
) -> None:
    options = tiny_options(max_steps=1, val_set_size=0, **changes)
    code, said = launch(launcher(tmp_path), options, tmp_path)
    assert code == 0, said
    out = tmp_path / "out"
    found = json.loads((out / "run.json").read_text())["processes"]
    assert (found["count"], found["method"]) == (2, method)
    assert [line["step"] for line in read_metrics(out / "metrics.jsonl") if "loss" in line] == [1]
    assert (out / "model.safetensors").is_file()


def test_a_file_of_accelerate_that_cuts_the_model_up_needs_the_same_in_the_file_of_options(
    tiny_options: Options, tmp_path: Path
) -> None:
    options = tiny_options(max_steps=1, val_set_size=0, evaluation_strategy="no", save_steps=1)
    words = accelerate(tmp_path, **ITS_FSDP)
    code, said = launch(words, options, tmp_path)
    assert code != 0
    assert "was told to use FSDP, and the file of options has no `fsdp`" in said
    code, said = launch(words, options | FSDP, tmp_path)
    assert code == 0, said
    assert "accelerate's own settings of FSDP are left out" in said
    assert "accelerate's own mixed_precision (bf16) is left out" in said
    checkpoint = tmp_path / "out" / "checkpoint-1"
    assert (checkpoint / "model.safetensors").is_file(), "parts are what accelerate's file says"
