"""What a rehearsal has in the place of what a file asks for, and that it is said."""

from __future__ import annotations

from typing import Any

from axolotl.config import load_config
from axolotl.resolve import examine
from axolotl.resolve.machine import Machine
from axolotl.verify.rehearse.options import Options, rehearsed_options

MINIMAL = {"base_model": "m", "datasets": [{"path": "d.jsonl", "type": "alpaca"}]}


def rehearsed(**options: Any) -> Options:
    return rehearsed_options(load_config(MINIMAL | options), packs=True)


def test_what_only_a_gpu_has_is_replaced_and_said() -> None:
    found = rehearsed(
        fp16=True,
        tf32=True,
        flash_attention=True,
        optimizer="paged_adamw_8bit",
        sequence_len=8192,
        micro_batch_size=16,
        wandb_project="p",
        hub_model_id="me/it",
        torch_compile=True,
    )
    now = {one.key: one.now for one in found.said}
    assert now["fp16"] == now["tf32"] == "float32"
    assert now["flash_attention"] == "attention per document"
    assert now["optimizer"] == "adamw_bnb_8bit"
    assert now["wandb_project"] == now["hub_model_id"] == now["torch_compile"] == ""
    assert (found.values["sequence_len"], found.values["micro_batch_size"]) == (512, 2)
    assert not {"wandb_project", "hub_model_id", "torch_compile", "tf32"} & found.values.keys()
    unproven = {one.unproven for one in found.said}
    assert {"losses and gradients in float16", "memory and speed at 8,192 tokens"} <= unproven
    here = examine(load_config(found.values), machine=Machine(gpu=False, bf16=False))
    assert here.errors == ()


def test_what_a_cpu_does_too_is_left_as_it_is() -> None:
    asked = {
        "adapter": "qlora",
        "load_in_4bit": True,
        "bf16": True,
        "lora_r": 8,
        "lora_target_linear": True,
        "optimizer": "lion_8bit",
        "train_on_inputs": True,
        "special_tokens": {"pad_token": "<x>"},
        "sequence_len": 64,
        "micro_batch_size": 1,
    }
    found = rehearsed(**asked)
    assert {key: found.values[key] for key in asked} == asked
    assert {one.key for one in found.said} == {"num_epochs"}


def test_no_place_of_the_users_is_named() -> None:
    found = rehearsed(
        output_dir="/mine/out",
        dataset_prepared_path="/mine/store",
        lora_out_dir="/mine/out",
        dataset_lock=True,
        lora_model_dir="/mine/adapter",
        adapter="lora",
        resume_from_checkpoint="/mine/checkpoint-1",
        val_set_size=0.1,
    )
    assert "/mine" not in str(found.values)
    assert "dataset_lock" not in found.values
    assert found.values["val_set_size"] == 4


def test_layers_that_a_tiny_model_lacks_are_those_that_it_has() -> None:
    found = rehearsed(
        unfrozen_parameters=[
            r"^model\.layers\.(2[0-9]|31)\.mlp",
            r"model.layers.31.mlp",
            "lm_head",
        ],
        peft_layers_to_transform=[0, 17, 31],
        adapter="lora",
    )
    assert found.values["peft_layers_to_transform"] == [0, 1]
    assert found.values["unfrozen_parameters"][1:] == ["model.layers.1.mlp", "lm_head"]
    assert {one.key for one in found.said} >= {"peft_layers_to_transform", "unfrozen_parameters"}


def test_relora_restarts_within_the_three_steps() -> None:
    found = rehearsed(adapter="lora", relora_steps=150, relora_warmup_steps=10)
    assert (found.values["relora_steps"], found.values["relora_warmup_steps"]) == (2, 1)


def test_what_is_saved_evaluated_and_chosen_otherwise_is_said() -> None:
    asked = {
        "val_set_size": 0.1,
        "save_strategy": "steps",
        "save_steps": 50,
        "save_total_limit": 3,
        "eval_steps": 50,
        "load_best_model_at_end": True,
        "metric_for_best_model": "loss",
        "trust_remote_code": True,
        "model_revision": "v2",
        "dataset_shard_num": 4,
    }
    found = rehearsed(**asked)
    said = {one.key: one for one in found.said}
    assert asked.keys() <= said.keys()
    assert all(said[key].unproven for key in asked if key != "val_set_size")
    assert said["save_strategy"].now == "a checkpoint after step 2"
    assert said["eval_steps"].now == "one evaluation, after step 3"
    assert said["model_revision"].now == "its config and tokenizer only"
    assert not (asked.keys() - {"val_set_size"}) & found.values.keys()
    without = {one.key: one.now for one in rehearsed(eval_steps=50).said}
    assert "no rows are held out" in without["eval_steps"]
