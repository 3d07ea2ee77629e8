"""What accelerate's launcher was told beside the file of options."""

from __future__ import annotations

import copy
import os
from typing import Any

import pytest
from accelerate.utils.dataclasses import DeepSpeedPlugin, FullyShardedDataParallelPlugin
from torch.distributed.fsdp import OffloadPolicy

from axolotl.config.distributed import DistributedSection
from axolotl.errors import EnvironmentFault
from axolotl.training.distributed.deepspeed import compiler_faults
from axolotl.training.distributed.launched import file_alone_holds

SPREADS: dict[str, dict[str, Any]] = {
    "FSDP": {"fsdp": ["full_shard"]},
    "DEEPSPEED": {"deepspeed": "zero2.json"},
}
BESIDE = {"FSDP": "FSDP_VERSION", "DEEPSPEED": "ACCELERATE_DEEPSPEED_ZERO_STAGE"}
ZERO_2 = {
    "zero_optimization": {"stage": 2},
    "train_micro_batch_size_per_gpu": "auto",
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": "auto",
}


@pytest.mark.parametrize("name", SPREADS)
def test_a_model_is_cut_up_as_the_file_says_or_not_at_all(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = {f"ACCELERATE_USE_{name}": "true", BESIDE[name]: "1", "ACCELERATE_USE_CPU": "1"}
    (key,) = SPREADS[name]
    with pytest.raises(EnvironmentFault, match=f"the file of options has no `{key}`"):
        file_alone_holds(DistributedSection(), dict(told))
    file_alone_holds(DistributedSection(**SPREADS[name]), told)
    assert told == {"ACCELERATE_USE_CPU": "1"}
    assert "are left out: those of the file of options hold" in " ".join(
        capsys.readouterr().err.split()
    )


def test_fsdp_is_told_nothing_by_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    told = ("ACCELERATE_USE_FSDP", "FSDP_OFFLOAD_PARAMS", "FSDP_ACTIVATION_CHECKPOINTING")
    for variable in told:
        monkeypatch.setenv(variable, "true")
    monkeypatch.setenv("FSDP_IGNORED_MODULES", "head")
    monkeypatch.setenv("FSDP_VERSION", "1")
    file_alone_holds(DistributedSection(fsdp=["full_shard"]), os.environ)
    plugin = FullyShardedDataParallelPlugin(fsdp_version=2, reshard_after_forward=True)
    assert not plugin.activation_checkpointing
    assert type(plugin.cpu_offload) is OffloadPolicy, "that of the CPU is one that inherits from it"
    assert plugin.ignored_modules is None
    assert not [name for name in os.environ if name.startswith("FSDP_")]


def test_deepspeed_is_told_nothing_by_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a configuration file of accelerate with a `deepspeed_config` comes as."""
    pytest.importorskip("deepspeed", reason="DeepSpeed is not installed")
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setenv("ACCELERATE_CONFIG_DS_FIELDS", "zero_stage,gradient_accumulation_steps")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "3")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE", "cpu")
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "7")
    monkeypatch.setenv("ACCELERATE_GRADIENT_CLIPPING", "0.5")
    file_alone_holds(DistributedSection(deepspeed="zero2.json"), os.environ)
    plugin = DeepSpeedPlugin(hf_ds_config=copy.deepcopy(ZERO_2))
    said = plugin.deepspeed_config
    assert (plugin.zero_stage, said["zero_optimization"]["stage"]) == (2, 2)
    assert (plugin.offload_optimizer_device, plugin.gradient_clipping) == ("none", "auto")
    assert said["gradient_accumulation_steps"] == "auto"


def test_an_optimizer_that_deepspeed_cannot_compile_is_a_message() -> None:
    with pytest.raises(EnvironmentFault, match="compiled or loaded: no compiler") as caught:  # noqa: SIM117
        with compiler_faults():
            raise RuntimeError(
                "DeepSpeedCPUAdam: the cpu_adam op failed to build/load."
            ) from OSError("no compiler\nmore")
    assert "ds_report" in str(caught.value)
    with pytest.raises(RuntimeError, match="of another kind"), compiler_faults():
        raise RuntimeError("of another kind")


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(EnvironmentFault, match="Megatron-LM"):
        file_alone_holds(DistributedSection(), {"ACCELERATE_USE_MEGATRON_LM": "true"})


def test_number_formats_and_compilers_are_those_of_the_file(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = {
        "ACCELERATE_MIXED_PRECISION": "bf16",
        "ACCELERATE_DYNAMO_BACKEND": "INDUCTOR",
        "ACCELERATE_DYNAMO_MODE": "max-autotune",
        "ACCELERATE_DYNAMO_USE_FULLGRAPH": "True",
    }
    file_alone_holds(DistributedSection(), told)
    said = " ".join(capsys.readouterr().err.split())
    assert told == {}
    assert "mixed_precision (bf16) is left out: bf16 and fp16" in said
    assert "dynamo_backend (inductor) is left out: torch_compile" in said
    usual = {"ACCELERATE_MIXED_PRECISION": "no", "ACCELERATE_DYNAMO_BACKEND": "no"}
    file_alone_holds(DistributedSection(), usual | {"ACCELERATE_USE_FSDP": "false"})
    assert capsys.readouterr().err == ""
