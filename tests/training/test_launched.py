"""What accelerate's launcher was told beside the file of options."""

from __future__ import annotations

from typing import Any

import pytest

from axolotl.config.distributed import DistributedSection
from axolotl.errors import EnvironmentFault
from axolotl.training.distributed.deepspeed import compiler_faults
from axolotl.training.distributed.launched import file_alone_holds

SPREADS: dict[str, dict[str, Any]] = {
    "FSDP": {"fsdp": ["full_shard"]},
    "DEEPSPEED": {"deepspeed": "zero2.json"},
}


@pytest.mark.parametrize("name", SPREADS)
def test_a_model_is_cut_up_as_the_file_says_or_not_at_all(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = {f"ACCELERATE_USE_{name}": "true", "FSDP_VERSION": "1"}
    (key,) = SPREADS[name]
    with pytest.raises(EnvironmentFault, match=f"the file of options has no `{key}`"):
        file_alone_holds(DistributedSection(), dict(told))
    file_alone_holds(DistributedSection(**SPREADS[name]), told)
    assert told == {"FSDP_VERSION": "1"}
    assert "are left out: those of the file of options hold" in " ".join(
        capsys.readouterr().err.split()
    )


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
    told = {"ACCELERATE_MIXED_PRECISION": "bf16", "ACCELERATE_DYNAMO_BACKEND": "INDUCTOR"}
    file_alone_holds(DistributedSection(), told)
    said = " ".join(capsys.readouterr().err.split())
    assert told == {}
    assert "mixed_precision (bf16) is left out: bf16 and fp16" in said
    assert "dynamo_backend (inductor) is left out: torch_compile" in said
    usual = {"ACCELERATE_MIXED_PRECISION": "no", "ACCELERATE_DYNAMO_BACKEND": "no"}
    file_alone_holds(DistributedSection(), usual | {"ACCELERATE_USE_FSDP": "false"})
    assert capsys.readouterr().err == ""
