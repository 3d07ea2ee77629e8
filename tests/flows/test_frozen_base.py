"""A base that an adapter leaves as it is: in bfloat16 with `bf16: true`, and what is trained in fp32."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from axolotl import api
from axolotl.training.run import run_training
from tests.flows.test_training import assert_same_bits, assert_same_metrics

Options = Callable[..., dict[str, Any]]
B, F = torch.bfloat16, torch.float32
LORA = {"adapter": "lora", "lora_r": 4, "lora_target_linear": True, "bf16": True}
TRAINED: dict[str, dict[str, Any]] = {
    "lora": {},
    "dora": {"peft_use_dora": True},
    "modules": {"lora_modules_to_save": ["embed_tokens", "lm_head"]},
    "tokens": {"peft_trainable_token_indices": [5, 6, 7]},
    "prompts": {"adapter": "llama-adapter", "peft_adapter": {"layers": 1, "len": 4}},
    "4-bit": {"adapter": "qlora", "load_in_4bit": True, "lora_modules_to_save": ["embed_tokens"]},
    "8-bit": {"load_in_8bit": True},
}


def train(options: dict[str, Any]) -> Any:
    trained = run_training(api.resolved(options, purpose="train"), on_start=lambda: None)
    trained.save(Path(options["output_dir"]))
    return trained


def held(model: Any) -> tuple[set[torch.dtype], set[torch.dtype]]:
    """The number formats of frozen and of trained weights, those in few bits left out."""
    weights = [w for w in model.parameters() if w.is_floating_point()]
    return (
        {w.dtype for w in weights if not w.requires_grad},
        {w.dtype for w in weights if w.requires_grad},
    )


@pytest.mark.parametrize("kind", list(TRAINED))
def test_it_is_held_in_half_and_all_that_is_trained_and_saved_whole(
    tiny_options: Options, tmp_path: Path, kind: str
) -> None:
    often = {"max_steps": 6, "save_steps": 3, "eval_steps": 3, "learning_rate": 1e-2}
    options = tiny_options(**LORA | TRAINED[kind], **often)
    options = {k: v for k, v in options.items() if kind != "prompts" or not k.startswith("lora_")}
    trained = train(options)
    assert held(trained.model) == ({B}, {F})
    out = Path(options["output_dir"])
    adapter = load_file(out / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in adapter.values()} == {F}
    rounded = [x for x in adapter.values() if not torch.equal(x, x.to(B).float())]
    assert len(rounded) > len(adapter) / 2, "saved from fp32, not from half precision"

    assert api.evaluate(options).loss == pytest.approx(trained.result.eval_loss, rel=1e-6)

    folder = shutil.copytree(out, tmp_path / "resumed")
    shutil.rmtree(folder / "checkpoint-6")
    train(options | {"output_dir": str(folder), "resume_from_checkpoint": True})
    assert_same_bits(out, folder)
    assert_same_metrics(out, folder)

    further = options | {"output_dir": str(tmp_path / "on"), "lora_model_dir": str(out)}
    model = api.load_model(further)
    assert held(model) == ({B}, {F})
    answers = api.generate(options, ["Colour 3?"], max_new_tokens=4)
    assert len(answers) == 1
    if kind == "prompts":
        return
    report = api.merge(options)
    assert report.dtype == "bfloat16"
    merged = load_file(report.folder / "model.safetensors")
    assert {tensor.dtype for tensor in merged.values()} == {B}
    assert api.merge(options, dtype="float32", out=tmp_path / "whole").difference.relative < 1e-3


@pytest.mark.parametrize(
    "change",
    [{"bf16": False}, {"relora_steps": 3}, {"peft_init_lora_weights": "pissa"}, {"adapter": None}],
    ids=["fp32", "relora", "pissa", "full"],
)
def test_weights_that_the_training_changes_stay_whole(
    tiny_options: Options, change: dict[str, Any]
) -> None:
    options = tiny_options(**LORA | change)
    if change.get("adapter", "lora") is None:
        options = {k: v for k, v in options.items() if not k.startswith("lora_")}
    frozen, learns = held(api.load_model(options))
    assert frozen <= {F}
    assert learns == {F}


def test_a_new_dora_changes_nothing(tiny_options: Options) -> None:
    ids = torch.arange(3, 43)[None]
    model: Any = api.load_model(tiny_options(**LORA, peft_use_dora=True)).eval()
    layer = model.base_model.model.model.layers[0].self_attn.q_proj
    want = layer.base_layer.weight.float().norm(dim=1)
    assert torch.equal(layer.lora_magnitude_vector["default"].weight, want)
    with torch.no_grad():
        assert torch.isfinite(model(input_ids=ids).logits).all()


def test_the_table_and_the_record_tell_it(
    tiny_options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    options = tiny_options(**LORA, max_steps=1)
    api.train(options)
    said = capsys.readouterr()
    assert "bfloat16" in said.out + said.err
    run = json.loads((Path(options["output_dir"]) / "run.json").read_text())
    assert run["plan"]["dtype"] == "bfloat16"
