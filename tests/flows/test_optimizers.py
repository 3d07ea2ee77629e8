"""Every optimizer trains, falls, and goes on from a checkpoint with the same bits."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from axolotl import api, optimizers
from axolotl.training.callbacks.metrics import read_metrics

Options = Callable[..., dict[str, Any]]
QUICK = {
    *("adamw_anyprecision", "adamw_torch_fused", "adamw_bnb_8bit", "galore_adamw"),
    *("schedule_free_adamw", "paged_lion_8bit"),
}
"""The others are of the same families."""
RATES: dict[str, float] = {"sgd": 0.5, "schedule_free_sgd": 2.0, "adagrad": 5e-3}
ARGS: dict[str, dict[str, Any]] = {
    "adamw_anyprecision": {
        "use_kahan_summation": True,
        "momentum_dtype": "bfloat16",
        "variance_dtype": "bfloat16",
    },
    "sgd": {"momentum": 0.9, "nesterov": True},
}
EIGHT_BITS = {"min_8bit_size": 256}
PROJECTED = {"rank": 4, "update_proj_gap": 3}
HERE = [name for name, why in optimizers.available().items() if why is None]


def some(name: str) -> dict[str, Any]:
    """Options of a short run with an optimizer, with which it shows what it has."""
    facts = optimizers.facts_of(name)
    args = ARGS.get(name, {})
    if name.endswith("8bit") and facts.family == "bnb":
        args = EIGHT_BITS
    more: dict[str, Any] = {}
    if facts.projects:
        args, more = PROJECTED, {"optim_target_modules": "all_linear"}
    return {
        "optimizer": name,
        "learning_rate": RATES.get(name, 2e-3),
        "weight_decay": 0.01,
        "optim_args": args or None,
        "max_steps": 8,
        "save_steps": 3,
        "eval_steps": 2,
        "warmup_steps": 1,
        "gradient_accumulation_steps": 2,
        "micro_batch_size": 1,
        "save_total_limit": 10,
        **more,
    }


def weights(folder: Path) -> dict[str, torch.Tensor]:
    (file,) = folder.glob("*.safetensors")
    return load_file(file)


def lines(folder: Path) -> list[dict[str, Any]]:
    unequal = ("tokens_per_second", "eval_seconds")
    return [
        {key: value for key, value in line.items() if key not in unequal}
        for line in read_metrics(folder / "metrics.jsonl")
    ]


def assert_goes_on_alike(options: dict[str, Any], folder: Path, *, step: int = 3) -> Path:
    """Train; go on from a checkpoint as if the run had ended there; the same bits come of it."""
    whole, part = folder / "whole", folder / "part"
    api.train(options | {"output_dir": str(whole)})
    shutil.copytree(whole, part)
    for checkpoint in part.glob("checkpoint-*"):
        if checkpoint.name != f"checkpoint-{step}":
            shutil.rmtree(checkpoint)
    resumed = options | {"output_dir": str(part), "auto_resume_from_checkpoints": True}
    api.train(resumed)
    first, second = weights(whole), weights(part)
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    assert lines(whole) == lines(part)
    return whole


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in HERE]
)
def test_an_optimizer_trains_and_goes_on_alike(
    tiny_options: Options, tmp_path: Path, name: str
) -> None:
    folder = assert_goes_on_alike(tiny_options(**some(name)), tmp_path)
    found = [line["loss"] for line in lines(folder) if "loss" in line]
    assert all(map(torch.isfinite, torch.tensor(found)))
    held_out = [line["eval_loss"] for line in lines(folder) if "eval_loss" in line]
    assert held_out[-1] < held_out[0] - 0.01
