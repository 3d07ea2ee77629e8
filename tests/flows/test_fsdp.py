"""Two processes that hold half of the model each train what two that hold all of it train."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AutoPeftModelForCausalLM
from transformers import AutoModelForCausalLM

from axolotl import api
from tests.flows.spread import FSDP, LORA, Ran, Several, assert_same_bits, assert_same_run

pytestmark = pytest.mark.slow
SHARDED: dict[str, Any] = {**FSDP, "fsdp_config": {"fsdp_state_dict_type": "SHARDED_STATE_DICT"}}
ONE_LAYER = {"fsdp_transformer_layer_cls_to_wrap": "LlamaMLP"}
PROMPTS = {"eval_sample_prompts": ["Colour 3?"], "eval_sample_max_new_tokens": 4}
SHORT: dict[str, Any] = {"max_steps": 1, "val_set_size": 0, "eval_steps": None, "save_steps": None}
RUNS: dict[str, dict[str, Any]] = {
    "whole": PROMPTS,
    "fsdp": {**FSDP, **PROMPTS},
    "fsdp-resumed": {**FSDP, **PROMPTS, "resume": "fsdp"},
    "parts": {
        "fsdp": "shard_grad_op auto_wrap",
        **{k: v for k, v in SHARDED.items() if k != "fsdp"},
    },
    "parts-resumed": {**SHARDED, "resume": "parts"},
    "lora": LORA,
    "lora-fsdp": {**FSDP, **LORA},
    "lora-fsdp-resumed": {**FSDP, **LORA, "resume": "lora-fsdp"},
    "lora-parts": {**SHARDED, **LORA},
    "lora-parts-resumed": {**SHARDED, **LORA, "resume": "lora-parts"},
    "lora-4bit": {
        "adapter": "qlora",
        "load_in_4bit": True,
        **{k: v for k, v in LORA.items() if k != "adapter"},
    },
    "lora-4bit-fsdp": {
        **FSDP,
        "adapter": "qlora",
        "load_in_4bit": True,
        **{k: v for k, v in LORA.items() if k != "adapter"},
    },
    "one-layer": {**FSDP, **SHORT, "fsdp_config": ONE_LAYER},
    "not-cut": {**FSDP, **SHORT, "fsdp_config": {"fsdp_auto_wrap_policy": "NO_WRAP"}},
    "again": {**FSDP, **SHORT, "fsdp_config": {"fsdp_activation_checkpointing": True}},
    "unlike": {**FSDP, **SHORT},
    "unlike-synced": {**FSDP, **SHORT, "fsdp_config": {"fsdp_sync_module_states": True}},
    "whole-again": {**SHORT},
    "other-states": {**FSDP, "resume": "whole"},
}


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Several:
    return Several(tmp_path_factory.mktemp("fsdp"), tiny_model)


@pytest.fixture(scope="module")
def ran(several: Several) -> dict[str, Ran]:
    return several.run(RUNS)


@pytest.mark.parametrize(
    ("got", "want"),
    [
        ("fsdp", "whole"),
        ("parts", "whole"),
        ("lora-fsdp", "lora"),
        ("lora-4bit-fsdp", "lora-4bit"),
        ("lora-parts", "lora"),
    ],
)
def test_fsdp_trains_what_processes_with_whole_models_train(
    ran: dict[str, Ran], got: str, want: str
) -> None:
    for seen in ran[got].seen:
        assert seen["weights"] == ["DTensor"]
        assert seen["kind"] == "DistributedType.FSDP"
        assert seen["held"] * 2 == ran[want].seen[0]["held"]
    assert ran[want].seen[0]["weights"] == ["Tensor"]
    kind = "shard_grad_op" if got == "parts" else "full_shard"
    assert ran[got].record["processes"] == {"count": 2, "machines": 1, "method": f"FSDP {kind}"}
    assert ran[want].record["processes"]["method"] == "DDP"
    assert "deepspeed" not in ran[want].record["versions"]
    assert_same_run(ran[got], ran[want])


@pytest.mark.parametrize("name", ["fsdp", "parts", "lora-fsdp", "lora-parts"])
def test_a_resume_is_the_run_that_was_not_interrupted(ran: dict[str, Ran], name: str) -> None:
    assert ran[f"{name}-resumed"].lines[0]["step"] == 3
    assert_same_run(ran[f"{name}-resumed"], ran[name], since_step=2)
    assert_same_bits(ran[f"{name}-resumed"], ran[name])


def test_the_result_loads_in_other_programs(ran: dict[str, Ran], tiny_model: Path) -> None:
    ids = torch.arange(20)[None]
    kinds: dict[str, Any] = {"fsdp": AutoModelForCausalLM, "lora-fsdp": AutoPeftModelForCausalLM}
    for name, of in kinds.items():
        want = of.from_pretrained(ran["whole" if name == "fsdp" else "lora"].folder)
        got = of.from_pretrained(ran[name].folder)
        assert type(got) is type(want)
        with torch.no_grad():
            assert torch.allclose(got(ids).logits, want(ids).logits, atol=1e-5)
    assert "FSDP" not in (ran["fsdp"].folder / "config.json").read_text()


def test_checkpoints_are_whole_or_in_parts(ran: dict[str, Ran]) -> None:
    """By `fsdp_state_dict_type`: FULL_STATE_DICT is the default; neither holds a pickle of weights."""
    whole, parts = (ran[name].folder / "checkpoint-2" for name in ("fsdp", "parts"))
    assert (whole / "model.safetensors").is_file()
    assert (whole / "optimizer.pt").is_file()
    assert not (parts / "model.safetensors").exists()
    for kind in ("model", "optimizer"):
        files = sorted(path.name for path in (parts / f"{kind}_shards").iterdir())
        assert len([name for name in files if name.endswith(".safetensors")]) == 2, files
    found = {path.name for folder in (whole, parts) for path in folder.rglob("*") if path.is_file()}
    assert not {name for name in found if name.endswith((".bin", ".distcp", ".metadata"))}


def test_the_samples_are_those_of_whole_models(ran: dict[str, Ran]) -> None:
    lines = [
        (ran[name].folder / "samples.jsonl").read_text().splitlines() for name in ("fsdp", "whole")
    ]
    got, want = ([json.loads(line) for line in each] for each in lines)
    assert [(s["step"], s["answer"], s["tokens"]) for s in got] == [
        (s["step"], s["answer"], s["tokens"]) for s in want
    ]
    assert len(got) == 2


def test_fsdp_config_says_how_the_model_is_cut_up(ran: dict[str, Ran]) -> None:
    """fsdp_config: fsdp_auto_wrap_policy and fsdp_transformer_layer_cls_to_wrap; same losses."""
    units = {name: ran[name].seen[0]["units"] for name in ("fsdp", "one-layer", "not-cut")}
    # Always apart: the model, and its last norm with embeddings and head.
    assert units["fsdp"] == units["not-cut"] + 2
    assert units["one-layer"] == units["not-cut"] + 2
    first = ran["whole-again"].lines[0]["loss"]
    for name in ("one-layer", "not-cut", "again"):
        assert ran[name].lines[0]["loss"] == pytest.approx(first, rel=1e-6)
    assert (
        ran["whole-again"].seen[0]["kind"] == "DistributedType.MULTI_CPU"
    )  # FSDP leaves nothing behind


def test_states_of_whole_models_are_not_taken_for_parts(ran: dict[str, Ran]) -> None:
    assert "fsdp: then null, now true" in ran["other-states"].seen[0]["error"]


def test_another_number_of_processes_goes_on_with_the_same_rows(several: Several) -> None:
    """Three rows of a process in a step, or two of each of three: a step has six."""
    rows = {
        "gradient_accumulation_steps": 3,
        "num_epochs": 4,
        "micro_batch_size": 1,
        "save_steps": 2,
    }
    there = several.run({"two": {**FSDP, **rows}, "two-parts": {**SHARDED, **rows}})
    rows["gradient_accumulation_steps"] = 2
    other = several.run(
        {
            "three": {**FSDP, **rows, "resume": "two"},
            "three-parts": {**SHARDED, **rows, "resume": "two-parts"},
            "five-rows": {**FSDP, **rows, "gradient_accumulation_steps": 1, "resume": "two"},
        },
        processes=3,
    )
    for got, want in (("three", "two"), ("three-parts", "two-parts")):
        assert_same_run(other[got], there[want], since_step=2)
    assert "processes: then 2, now 3" in other["five-rows"].seen[0]["error"]


def test_the_first_process_has_the_weights_of_all(ran: dict[str, Ran]) -> None:
    """With fsdp_sync_module_states; the second process begins with other weights."""
    first = ran["whole-again"].lines[0]["loss"]
    assert ran["unlike-synced"].lines[0]["loss"] == pytest.approx(first, rel=1e-6)
    assert ran["unlike"].lines[0]["loss"] != pytest.approx(first, rel=1e-4)


def test_one_process_is_told_that_there_is_nothing_to_cut(tiny_options: Any) -> None:
    with pytest.raises(Exception, match="fsdp: there is one process"):
        api.train(tiny_options(**FSDP, max_steps=1))
