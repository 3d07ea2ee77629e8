"""Whole trainings on a GPTQ checkpoint: seen, reproducible, resumed, evaluated, answering, merged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from axolotl import api
from axolotl.errors import AxolotlError
from axolotl.models.gptq.layer import quantised_layers
from tests.conftest import build_llama, build_tokenizer
from tests.flows.test_training import assert_same_bits, assert_same_metrics
from tests.gptq_writer import Recipe, write_gptq

GPTQ = {"gptq": True, "adapter": "lora", "lora_r": 4, "lora_target_linear": True}
Options = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model in version 1, act-order; beside it, the model that it stands for."""
    folder = tmp_path_factory.mktemp("gptq")
    meant = write_gptq(
        build_llama(), folder / "packed", Recipe(act_order=True), tokenizer=build_tokenizer()
    )
    meant.save_pretrained(folder / "whole")
    build_tokenizer().save_pretrained(folder / "whole")
    return folder / "packed"


@pytest.fixture
def options(tiny_options: Options, base: Path) -> Options:
    return lambda **changes: tiny_options(**(GPTQ | {"base_model": str(base)} | changes))


def test_gptq_is_held_as_it_is_and_the_saving_is_told(
    options: Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(quantised_layers(api.load_model(options()))) == 2 * 7
    api.train(options(max_steps=1))
    plan = json.loads((tmp_path / "out" / "run.json").read_text("utf-8"))["plan"]
    assert plan["quantized"]["kind"] == "gptq"
    assert plan["quantized"]["bytes"] < 0.6 * plan["quantized"]["bytes_unquantized"]
    assert "base weights gptq, " in " ".join(capsys.readouterr().err.split())


def test_it_trains_as_on_the_dequantised_model(
    options: Options, base: Path, tmp_path: Path
) -> None:
    packed = api.train(options(num_epochs=4, learning_rate=1e-2))
    whole = api.train(
        options(
            num_epochs=4,
            learning_rate=1e-2,
            gptq=False,
            base_model=str(base.parent / "whole"),
            output_dir=str(tmp_path / "whole"),
        )
    )
    assert packed.eval_loss is not None
    assert packed.eval_loss == pytest.approx(whole.eval_loss, rel=1e-4)
    assert packed.train_loss == pytest.approx(whole.train_loss, rel=1e-4)
    assert api.evaluate(options()).loss == pytest.approx(packed.eval_loss, rel=1e-6)
    before = api.evaluate(options(), base=True)
    assert before.loss > packed.eval_loss + 0.1
    assert api.generate(options(), ["Colour 3?"], max_new_tokens=5) == api.generate(
        options(gptq=False, base_model=str(base.parent / "whole")), ["Colour 3?"], max_new_tokens=5
    )


@pytest.mark.parametrize(
    "more",
    [
        {"lora_dropout": 0.1},
        {"gradient_checkpointing": True},
        {"bf16": True, "lora_dropout": 0.1},
        {"bfloat16": True},
    ],
    ids=["dropout", "checkpointing", "autocast", "bfloat16"],
)
def test_a_resumed_run_equals_one_that_was_not_stopped(
    options: Options, tmp_path: Path, more: dict[str, Any]
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    settings = options(**more, max_steps=5, save_steps=3, eval_steps=2, output_dir=str(whole))
    api.train(settings)
    shutil.copytree(whole, out)
    shutil.rmtree(out / "checkpoint-5")
    (out / "run.json").unlink()
    api.train(settings | {"output_dir": str(out), "resume_from_checkpoint": True})
    assert_same_bits(whole, out)
    assert_same_metrics(whole, out)


def test_recomputed_activations_train_the_same(options: Options, tmp_path: Path) -> None:
    for name, again in (("plain", False), ("again", True)):
        out = str(tmp_path / name)
        api.train(options(max_steps=3, gradient_checkpointing=again, output_dir=out))
    assert_same_bits(tmp_path / "plain", tmp_path / "again")


def test_a_merge_makes_a_plain_model(options: Options, base: Path, tmp_path: Path) -> None:
    api.train(options(learning_rate=1e-2))
    report = api.merge(options())
    assert report.difference.relative < 1e-5
    assert "quantization_config" not in json.loads((report.folder / "config.json").read_text())
    merged = AutoModelForCausalLM.from_pretrained(report.folder)
    assert {p.dtype for p in merged.parameters()} == {torch.float32}
    with_plain_peft = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base.parent / "whole"), str(tmp_path / "out")
    )
    ids = torch.arange(3, 30)[None]
    with torch.no_grad():
        torch.testing.assert_close(
            merged(ids).logits, with_plain_peft.eval()(ids).logits, rtol=1e-5, atol=1e-5
        )
    prompts = ["Colour 3?", "Colour 5?"]
    assert api.generate(options(), prompts, merged=True, max_new_tokens=5) == api.generate(
        options(), prompts, max_new_tokens=5
    )


def test_the_base_is_left_as_it_was(options: Options, base: Path) -> None:
    before = load_file(base / "model.safetensors")
    api.train(options(max_steps=2, learning_rate=1e-1))
    after = load_file(base / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_without_the_option_it_is_named(options: Options) -> None:
    with pytest.raises(AxolotlError, match="is a GPTQ checkpoint"):
        api.train(options(gptq=False))


def test_an_ordinary_model_is_none(options: Options, base: Path) -> None:
    with pytest.raises(AxolotlError, match="is no GPTQ checkpoint") as caught:
        api.train(options(base_model=str(base.parent / "whole")))
    assert "load_in_4bit" in str(caught.value.hint)
