"""Quantised base models on two processes: DDP, ZeRO 1 and 2, and FSDP train what one process trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AutoPeftModelForCausalLM, PeftModel
from transformers import AutoModelForCausalLM

from axolotl import api
from tests.conftest import build_llama, build_tokenizer
from tests.flows.spread import FSDP, Ran, Several, assert_same_run
from tests.gptq_writer import Recipe, write_gptq

pytestmark = pytest.mark.slow
SHIPPED = Path(__file__).parents[2] / "deepspeed"
SPREAD: dict[str, dict[str, Any]] = {
    "ddp": {},
    "zero1": {"deepspeed": str(SHIPPED / "zero1.json")},
    "zero2": {"deepspeed": str(SHIPPED / "zero2.json")},
    "fsdp": FSDP,
}
KINDS: dict[str, dict[str, Any]] = {
    "qlora": {"adapter": "qlora", "load_in_4bit": True},
    "8bit": {"adapter": "lora", "load_in_8bit": True},
    "gptq": {"adapter": "lora", "gptq": True},
}
CASES = [(kind, way) for kind in KINDS for way in SPREAD if way != "fsdp" or kind == "qlora"]
COMMON = {"lora_r": 4, "lora_target_linear": True, "lora_dropout": 0.0}


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Several:
    return Several(tmp_path_factory.mktemp("quantised"), tiny_model, **COMMON)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model in GPTQ; beside it, the model that it stands for."""
    folder = tmp_path_factory.mktemp("gptq")
    meant = write_gptq(
        build_llama(), folder / "packed", Recipe(act_order=True), tokenizer=build_tokenizer()
    )
    meant.save_pretrained(folder / "whole")
    return folder / "packed"


def options(kind: str, packed: Path) -> dict[str, Any]:
    return KINDS[kind] | ({"base_model": str(packed)} if kind == "gptq" else {})


@pytest.fixture(scope="module")
def two(several: Several, packed: Path) -> dict[str, Ran]:
    return several.run(
        {f"{kind}-{way}": options(kind, packed) | SPREAD[way] for kind, way in CASES}
    )


@pytest.fixture(scope="module")
def one(several: Several, packed: Path) -> dict[str, Ran]:
    """The same rows a step."""
    found: dict[str, Ran] = {}
    for kind in KINDS:
        alone = {"output_dir": str(several.root / kind), "gradient_accumulation_steps": 4}
        api.train(several.common | options(kind, packed) | alone)
        found[kind] = Ran(several.root / kind, [])
    return found


@pytest.mark.parametrize(("kind", "way"), CASES)
def test_two_processes_train_what_one_trains(
    two: dict[str, Ran], one: dict[str, Ran], kind: str, way: str
) -> None:
    ran = two[f"{kind}-{way}"]
    stage = int(way[-1]) if way.startswith("zero") else 0
    wrapper = {"ddp": "DistributedDataParallel", "fsdp": "FSDPPeftModelForCausalLM"}
    for seen in ran.seen:
        assert "error" not in seen, seen["error"]
        assert seen["stage"] == stage
        assert seen["wrapper"] == wrapper.get(way, "DeepSpeedEngine")
    assert_same_run(ran, one[kind])


@pytest.mark.parametrize(("kind", "way"), CASES)
def test_the_adapter_loads_in_plain_peft(
    two: dict[str, Ran], packed: Path, kind: str, way: str
) -> None:
    """On the unquantised base: one of GPTQ is read by optional packages only."""
    folder, ids = two[f"{kind}-{way}"].folder, torch.arange(20)[None]
    if kind == "gptq":
        base = AutoModelForCausalLM.from_pretrained(packed.parent / "whole")
        loaded: Any = PeftModel.from_pretrained(base, folder)
    else:
        loaded = AutoPeftModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        trained = loaded(ids).logits
        with loaded.disable_adapter():
            before = loaded(ids).logits
    assert (trained - before).abs().max() > 1e-3
    assert torch.isfinite(trained).all()
