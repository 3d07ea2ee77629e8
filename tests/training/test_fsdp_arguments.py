"""What the file says of FSDP and DeepSpeed, as the libraries are told it."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from accelerate.utils import FullyShardedDataParallelPlugin

from axolotl.config import load_config
from axolotl.config.distributed import DistributedSection, FsdpConfig
from axolotl.config.training import TrainingSection
from axolotl.errors import ModelError
from axolotl.models.patches.fsdp_on_cpu import fsdp_on_cpu
from axolotl.resolve import resolve
from axolotl.resolve.deepspeed_json import as_run, read_deepspeed, zero_stage
from axolotl.training.distributed.deepspeed import deepspeed_arguments
from axolotl.training.distributed.fsdp import fsdp_arguments, mixed_precision

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "deepspeed").glob("*.json"))
SMALL: dict[str, Any] = {"base_model": "m", "datasets": [{"path": "d.jsonl", "type": "alpaca"}]}


@pytest.mark.parametrize(
    ("words", "details", "told"),
    [
        ("full_shard auto_wrap", {}, {"reshard_after_forward": True, "cpu_offload": False}),
        (["shard_grad_op"], {}, {"reshard_after_forward": False}),
        (["auto_wrap"], {"fsdp_reshard_after_forward": False}, {"reshard_after_forward": False}),
        (["auto_wrap", "offload"], {}, {"cpu_offload": True}),
        (["auto_wrap"], {"fsdp_offload_params": True}, {"cpu_offload": True}),
    ],
)
def test_what_the_file_says_reaches_the_library(
    words: Any, details: dict[str, Any], told: dict[str, Any]
) -> None:
    """fsdp_reshard_after_forward and fsdp_offload_params, and the words of `fsdp`."""
    options = DistributedSection(fsdp=words, fsdp_config=FsdpConfig(**details))
    found = fsdp_arguments(options, on_gpu=True)
    assert found["fsdp"] is True
    assert found["fsdp_config"]["version"] == 2
    assert told.items() <= found["fsdp_config"].items()
    assert not fsdp_arguments(options, on_gpu=False)["fsdp_config"]["cpu_offload"]
    assert fsdp_arguments(DistributedSection(), on_gpu=True) == {}


def test_fsdp_activation_checkpointing_is_gradient_checkpointing() -> None:
    on = {"fsdp": ["full_shard"], "fsdp_config": {"fsdp_activation_checkpointing": True}}
    resolved = resolve(load_config({**SMALL, **on}))
    assert resolved.training.gradient_checkpointing is True
    assert resolved.training.gradient_checkpointing_kwargs == {"use_reentrant": False}
    assert "fsdp_config" in resolved.origin("gradient_checkpointing")
    off = resolve(load_config({**SMALL, "fsdp_config": on["fsdp_config"]}))
    assert off.training.gradient_checkpointing is False


def test_gradients_are_added_up_in_full_precision() -> None:
    policy = mixed_precision(torch.bfloat16)
    assert policy is not None
    assert (policy.param_dtype, policy.reduce_dtype) == (torch.bfloat16, torch.float32)
    assert policy.output_dtype is None
    assert mixed_precision(None) is None


def test_the_switch_for_cpus_is_still_needed() -> None:
    """accelerate looks at the plugin for processes with accelerators alone."""
    before = AcceleratorState.__init__
    source = inspect.getsource(before)
    used = source.index("fsdp_plugin is not None) or (")
    kinds = source[:used].rpartition("elif self.distributed_type in [")[2].partition("]")[0]
    assert "MULTI_GPU" in kinds
    assert "MULTI_CPU" not in kinds, "accelerate knows it by now: remove fsdp_on_cpu"
    with fsdp_on_cpu():
        assert AcceleratorState.__init__ is not before
    assert AcceleratorState.__init__ is before
    assert FullyShardedDataParallelPlugin(fsdp_version=2).fsdp_version == 2


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_what_is_shipped_leaves_optimizer_and_schedule_to_the_file(file: Path) -> None:
    content = json.loads(file.read_text())
    assert not {"optimizer", "scheduler"} & content.keys()
    assert zero_stage(content) == int(file.stem[4])
    assert as_run(content) == content
    assert ("offload" in file.stem) == ("offload_optimizer" in content["zero_optimization"])


def test_all_stages_are_shipped() -> None:
    assert {file.stem[:5] for file in SHIPPED} == {"zero1", "zero2", "zero3"}


def test_blocks_for_what_the_file_says_are_left_out() -> None:
    """As in the configurations of 2023, whose scheduler would have replaced that of the file."""
    content = {
        "zero_optimization": {"stage": 1},
        "optimizer": {"type": "AdamW", "params": {"lr": "auto"}},
        "scheduler": {"type": "WarmupDecayLR", "params": {"total_num_steps": "auto"}},
        "train_micro_batch_size_per_gpu": 2,
        "fp16": {"enabled": "auto", "initial_scale_power": 32},
    }
    run = as_run(read_deepspeed(content))
    assert not {"optimizer", "scheduler"} & run.keys()
    assert run["train_micro_batch_size_per_gpu"] == "auto"  # DeepSpeed counts rows here
    assert run["fp16"] == {"enabled": "auto", "initial_scale_power": 32}


def test_a_batch_that_is_another_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    training = TrainingSection(micro_batch_size=2, gradient_accumulation_steps=3)
    content = {"zero_optimization": {"stage": 1}, "train_batch_size": 12}
    options = DistributedSection(deepspeed=content)
    assert deepspeed_arguments(options, training, on_gpu=False)["deepspeed"]
    wrong = DistributedSection(deepspeed={**content, "train_batch_size": 16})
    with pytest.raises(ModelError, match="its train_batch_size is 16, and micro_batch_size 2 x"):
        deepspeed_arguments(wrong, training, on_gpu=False)
