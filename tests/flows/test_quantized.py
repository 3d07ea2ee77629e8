"""Whole trainings on bases in 8 and 4 bits: seen, reproducible, resumed, evaluated, merged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from bitsandbytes.nn.modules import Linear4bit, Linear8bitLt
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from axolotl import api
from axolotl.errors import AxolotlError
from axolotl.models.bnb import quantised_layers
from axolotl.models.quiet import no_library_bars
from tests.flows.test_training import assert_same_bits, assert_same_metrics, weights

Options = Callable[..., dict[str, Any]]
_LORA = {"adapter": "lora", "lora_r": 4, "lora_target_linear": True, "lora_dropout": 0.1}
METHODS: dict[str, dict[str, Any]] = {
    "int8": {**_LORA, "load_in_8bit": True},
    "fp4": {**_LORA, "load_in_4bit": True},
    "nf4": {**_LORA, "adapter": "qlora", "load_in_4bit": True},
    "nf4-bf16": {**_LORA, "adapter": "qlora", "load_in_4bit": True, "bf16": True},
}
every_method = pytest.mark.parametrize("method", METHODS.values(), ids=list(METHODS))


@pytest.mark.parametrize(
    ("method", "kind", "said"),
    [
        ({"load_in_8bit": True, **_LORA}, Linear8bitLt, "int8, "),
        ({"load_in_4bit": True, **_LORA}, Linear4bit, "fp4, "),
        (METHODS["nf4-bf16"], Linear4bit, "nf4, double quantisation, computed in bfloat16, "),
    ],
    ids=["load_in_8bit", "load_in_4bit", "qlora"],
)
def test_the_base_is_held_as_asked_and_the_saving_is_told(
    tiny_options: Options,
    tmp_path: Path,
    method: dict[str, Any],
    kind: type,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = tiny_options(**method, max_steps=1)
    layers = quantised_layers(api.load_model(options))
    assert {type(layer) for layer in layers} == {kind}
    api.train(options)
    plan = json.loads((tmp_path / "out" / "run.json").read_text("utf-8"))["plan"]
    whole = api.train(tiny_options(**_LORA, max_steps=1, output_dir=str(tmp_path / "whole")))
    without = json.loads((whole.output_dir / "run.json").read_text("utf-8"))["plan"]
    for count in ("parameters", "trainable_parameters"):
        assert plan[count] == without[count], "a packed weight counts as what it stands for"
    assert without["quantized"] is None
    held = 2 if method.get("bf16") else 4  # bytes; what is frozen is held in what it is computed in
    frozen = held * (plan["parameters"] - plan["trainable_parameters"])
    facts = plan["quantized"]
    assert facts["bytes_unquantized"] == frozen
    assert facts["bytes"] < 0.6 * frozen
    told = " ".join(capsys.readouterr().err.split())
    sizes = [f"{facts[key] / 1e3:,.0f} kB" for key in ("bytes", "bytes_unquantized")]
    assert f"base weights {said}{sizes[0]} instead of {sizes[1]}" in told


@every_method
def test_a_training_learns_and_its_loss_is_found_again(
    tiny_options: Options, method: dict[str, Any]
) -> None:
    options = tiny_options(**method, num_epochs=4, learning_rate=2e-2)
    result = api.train(options)
    before = api.evaluate(options, base=True)
    assert result.eval_loss is not None
    assert result.eval_loss < before.loss - 0.2
    assert api.evaluate(options).loss == pytest.approx(result.eval_loss, rel=1e-5)
    assert len(api.generate(options, ["Colour 3?"], max_new_tokens=3)) == 1


@every_method
@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_resumed_run_equals_one_that_was_not_stopped(
    tiny_options: Options, tmp_path: Path, method: dict[str, Any], checkpointing: bool
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    options = tiny_options(
        **method,
        gradient_checkpointing=checkpointing,
        max_steps=5,
        save_steps=3,
        eval_steps=2,
        output_dir=str(whole),
    )
    api.train(options)
    shutil.copytree(whole, out)
    shutil.rmtree(out / "checkpoint-5")
    (out / "run.json").unlink()
    api.train(options | {"output_dir": str(out), "resume_from_checkpoint": True})
    assert_same_bits(whole, out)
    assert_same_metrics(whole, out)


def test_evaluations_on_the_way_change_nothing(tiny_options: Options, tmp_path: Path) -> None:
    for method in METHODS.values():
        options = tiny_options(**method, max_steps=4, save_strategy="no")
        api.train(options | {"eval_steps": 1, "output_dir": str(tmp_path / "often")})
        api.train(options | {"val_set_size": 8, "output_dir": str(tmp_path / "never")})
        assert_same_bits(tmp_path / "often", tmp_path / "never")


@pytest.mark.parametrize(
    "kwargs", [{"use_reentrant": True}, {"use_reentrant": False}], ids=["reentrant", "not"]
)
def test_recomputed_activations_train_the_same(
    tiny_options: Options, tmp_path: Path, kwargs: dict[str, Any]
) -> None:
    for name in ("nf4", "int8"):
        options = tiny_options(**METHODS[name], max_steps=3)
        api.train(options | {"output_dir": str(tmp_path / "plain")})
        again = {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": kwargs}
        api.train(options | again | {"output_dir": str(tmp_path / "again")})
        assert_same_bits(tmp_path / "plain", tmp_path / "again")


@every_method
def test_a_merge_takes_the_whole_base(
    tiny_options: Options, tmp_path: Path, method: dict[str, Any], tiny_model: Path
) -> None:
    options = tiny_options(**method, max_steps=4, learning_rate=1e-2)
    api.train(options)
    report = api.merge(options, dtype="float32")
    assert report.merge_difference.relative < 1e-5
    merged, base = weights(report.folder), weights(tiny_model)
    norm = "model.layers.0.input_layernorm.weight"
    assert torch.allclose(merged[norm], base[norm], atol=1e-2 if method.get("bf16") else 0)
    changed = (
        merged["model.layers.0.mlp.up_proj.weight"] - base["model.layers.0.mlp.up_proj.weight"]
    )
    assert torch.linalg.matrix_rank(changed.float(), rtol=1e-3) <= 4, "rounding would fill it"
    assert "quantization_config" not in (report.folder / "config.json").read_text("utf-8")


def test_an_adapter_is_trained_on_a_base_stored_in_4_bits_and_merged(
    tiny_options: Options, tmp_path: Path, tiny_model: Path
) -> None:
    stored = tmp_path / "stored"
    settings = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
    with no_library_bars():
        AutoModelForCausalLM.from_pretrained(
            tiny_model, quantization_config=settings, device_map={"": "cpu"}
        ).save_pretrained(stored)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(stored)
    options = tiny_options(**METHODS["nf4"], base_model=str(stored), max_steps=3)
    result = api.train(options)
    assert result.eval_loss == pytest.approx(api.evaluate(options).loss, rel=1e-5)
    plan = json.loads((tmp_path / "out" / "run.json").read_text("utf-8"))["plan"]
    assert plan["quantized"]["double"] is False, "as it is stored"
    report = api.merge(options)
    assert report.merge_difference.relative < 1e-5
    assert "quantization_config" not in (report.folder / "config.json").read_text("utf-8")


def test_embeddings_can_be_trained_beside_a_quantised_base(
    tiny_options: Options, tmp_path: Path
) -> None:
    for name in ("int8", "nf4"):
        method = METHODS[name] | {"lora_modules_to_save": ["embed_tokens"], "tokens": ["<tool>"]}
        options = tiny_options(**method, max_steps=2, output_dir=str(tmp_path / name))
        api.train(options)
        assert any("embed_tokens" in key for key in weights(tmp_path / name))
        assert api.merge(options).merge_difference.relative < 1e-5


def test_a_resume_on_another_form_of_the_base_is_refused(tiny_options: Options) -> None:
    options = tiny_options(**METHODS["fp4"], max_steps=2, save_steps=2)
    api.train(options)
    other = options | {"load_in_4bit": False, "load_in_8bit": True, "resume_from_checkpoint": True}
    with pytest.raises(AxolotlError) as caught:
        api.train(other)
    assert "load_in_4bit: then true, now null" in str(caught.value)
    assert "load_in_8bit: then null, now true" in str(caught.value)
    kept = {"bnb_config_kwargs": {"bnb_4bit_quant_type": "nf4"}, "resume_from_checkpoint": True}
    with pytest.raises(AxolotlError, match="bnb_config_kwargs: then null") as caught:
        api.train(options | kept)
    assert '"bnb_4bit_quant_type": "nf4"' in str(caught.value)
