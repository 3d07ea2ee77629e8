"""DeepSpeed's ZeRO 1, 2 and 3 on two processes train what two that hold everything train."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from peft import AutoPeftModelForCausalLM
from transformers import AutoModelForCausalLM

from axolotl.training.callbacks.metrics import read_metrics
from tests.flows.spread import LORA, Ran, Several, assert_same_bits, assert_same_run, free_port

pytestmark = pytest.mark.slow
SHIPPED = Path(__file__).parents[2] / "deepspeed"
ZERO: dict[int, dict[str, Any]] = {
    stage: {"deepspeed": str(SHIPPED / f"zero{stage}.json")} for stage in (1, 2, 3)
}
PROMPTS = {"eval_sample_prompts": ["Colour 3?"], "eval_sample_max_new_tokens": 4}
WORSE = {"learning_rate": 1.0, "lr_scheduler": "linear", "warmup_steps": 4}
"""A rate that rises to the end, so that the second evaluation is worse than the first."""
RUNS: dict[str, dict[str, Any]] = {
    "whole": PROMPTS,
    "zero1": ZERO[1],
    "zero2": ZERO[2],
    "zero3": {**ZERO[3], **PROMPTS},
    "zero1-resumed": {**ZERO[1], "resume": "zero1"},
    "zero2-resumed": {**ZERO[2], "resume": "zero2"},
    "zero3-resumed": {**ZERO[3], **PROMPTS, "resume": "zero3"},
    "lora": LORA,
    "lora-zero2": {**ZERO[2], **LORA},
    "lora-zero3": {**ZERO[3], **LORA},
    "lora-zero2-resumed": {**ZERO[2], **LORA, "resume": "lora-zero2"},
    "lora-zero3-resumed": {**ZERO[3], **LORA, "resume": "lora-zero3"},
    "best": {**ZERO[3], "load_best_model_at_end": True, **WORSE},
    "other-stage": {**ZERO[2], "resume": "zero1"},
    "whole-again": {"max_steps": 1, "val_set_size": 0, "eval_steps": None, "save_steps": None},
}
NAMES = ["zero1", "zero2", "zero3", "lora-zero2", "lora-zero3"]


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Several:
    return Several(tmp_path_factory.mktemp("zero"), tiny_model)


@pytest.fixture(scope="module")
def ran(several: Several) -> dict[str, Ran]:
    return several.run(RUNS)


@pytest.mark.parametrize("name", NAMES)
def test_deepspeed_trains_what_processes_with_whole_models_train(
    ran: dict[str, Ran], name: str
) -> None:
    """`deepspeed` names the shipped configuration of the stage."""
    want = ran["lora" if name.startswith("lora") else "whole"]
    for seen in ran[name].seen:
        assert seen["wrapper"] == "DeepSpeedEngine"
        assert seen["optimizer"].startswith("DeepSpeedZeroOptimizer")
        assert seen["optimizer"].endswith("_Stage3") == name.endswith("3")
        assert seen["stage"] == int(name[-1])
    record = ran[name].record
    assert record["processes"]["method"] == f"DeepSpeed ZeRO {name[-1]}"
    assert record["versions"]["deepspeed"] == version("deepspeed")
    assert_same_run(ran[name], want)


@pytest.mark.parametrize("name", NAMES)
def test_a_resume_is_the_run_that_was_not_interrupted(ran: dict[str, Ran], name: str) -> None:
    assert ran[f"{name}-resumed"].lines[0]["step"] == 3
    assert_same_run(ran[f"{name}-resumed"], ran[name], since_step=2)
    assert_same_bits(ran[f"{name}-resumed"], ran[name])


def test_the_result_loads_in_other_programs(ran: dict[str, Ran]) -> None:
    ids = torch.arange(20)[None]
    for name, of in (("zero3", AutoModelForCausalLM), ("lora-zero3", AutoPeftModelForCausalLM)):
        want = of.from_pretrained(ran["whole" if name == "zero3" else "lora"].folder)
        got = of.from_pretrained(ran[name].folder)
        with torch.no_grad():
            assert torch.allclose(got(ids).logits, want(ids).logits, atol=1e-5)


def test_the_samples_are_those_of_whole_models(ran: dict[str, Ran]) -> None:
    got, want = (
        [
            json.loads(line)["answer"]
            for line in (ran[name].folder / "samples.jsonl").read_text().splitlines()
        ]
        for name in ("zero3", "whole")
    )
    assert got == want
    assert len(got) == 2


def test_the_best_checkpoint_is_gone_back_to(ran: dict[str, Ran]) -> None:
    folder = ran["best"].folder
    assert json.loads((folder / "run.json").read_text())["final"]["checkpoint"] == 2
    want = Ran(folder / "checkpoint-2", []).weights
    assert all(torch.equal(value, want[key]) for key, value in ran["best"].weights.items())


def test_the_parts_of_another_stage_are_not_taken(ran: dict[str, Ran]) -> None:
    assert "stage of DeepSpeed's ZeRO: then 1, now 2" in ran["other-stage"].seen[0]["error"]
    assert (
        ran["whole-again"].seen[0]["kind"] == "DistributedType.MULTI_CPU"
    )  # nothing is left behind


def test_the_launcher_of_deepspeed_starts_it(several: Several) -> None:
    """`deepspeed --module axolotl.cli.train file.yml`, by the module behind that command."""
    out = several.root / "launched"
    options = {
        **several.common,
        **ZERO[2],
        "output_dir": str(out),
        "max_steps": 1,
        "eval_steps": None,
    }
    file = several.root / "run.yml"
    file.write_text(yaml.safe_dump(options))
    place = [
        "--num_gpus",
        "2",
        "--master_port",
        free_port(),
        "--module",
        "axolotl.cli.train",
        str(file),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "deepspeed.launcher.runner", *place],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    (line,) = [line for line in read_metrics(out / "metrics.jsonl") if "loss" in line]
    assert line["step"] == 1
    assert (out / "model.safetensors").is_file()
