"""Base models that are stored in few bits already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from axolotl.config.model import ModelSection
from axolotl.errors import ModelError
from axolotl.models.bnb import quantised_layers
from axolotl.models.load import open_model
from axolotl.models.quantized import Quantized
from axolotl.models.quiet import no_library_bars
from axolotl.models.tokenizer import load_tokenizer
from tests.conftest import build_tokenizer

STORED: dict[str, dict[str, Any]] = {
    "int8": {"load_in_8bit": True},
    "nf4": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True},
}
FORMS = {
    "int8": Quantized("int8", asked_by="load_in_8bit"),
    "nf4": Quantized("nf4", torch.bfloat16, double=True),
    "fp4": Quantized("fp4"),
}
IDS = torch.arange(3, 60)[None]


@pytest.fixture(scope="module", params=STORED)
def stored(
    request: pytest.FixtureRequest, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """Its form, and the folder."""
    folder = tmp_path_factory.mktemp("stored")
    settings = BitsAndBytesConfig(**STORED[request.param])
    with no_library_bars():
        model = AutoModelForCausalLM.from_pretrained(
            tiny_model, dtype=torch.float32, quantization_config=settings, device_map={"": "cpu"}
        )
        model.save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    return request.param, folder


def load(folder: Path, form: Quantized | None) -> Any:
    model = ModelSection(base_model=str(folder))
    return open_model(
        model,
        dtype=torch.float32,
        attn_implementation="sdpa",
        tokenizer=load_tokenizer(model),
        quantized=form,
    ).eval()


def test_it_stays_in_its_form_and_is_computed_as_asked(
    stored: tuple[str, Path], tiny_model: Path
) -> None:
    name, folder = stored
    model, made = load(folder, FORMS[name]), load(tiny_model, FORMS[name])
    assert len(quantised_layers(model)) == len(quantised_layers(made)) > 0
    if name != "int8":
        layers = quantised_layers(model)
        assert {layer.compute_dtype for layer in layers} == {torch.bfloat16}
        assert not any(layer.support_avx512bf16_for_cpu for layer in layers)
    with torch.no_grad():
        torch.testing.assert_close(model(IDS).logits, made(IDS).logits)


def test_it_is_made_whole_where_whole_weights_are_wanted(
    stored: tuple[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, folder = stored
    model = load(folder, None)
    assert not quantised_layers(model)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert "are made whole" in capsys.readouterr().err
    with torch.no_grad():
        packed = load(folder, FORMS[name] if name == "int8" else Quantized("nf4"))(IDS).logits
        torch.testing.assert_close(model(IDS).logits, packed, atol=1e-4, rtol=1e-4)
    with no_library_bars():
        model.save_pretrained(tmp_path)
    assert "quantization_config" not in (tmp_path / "config.json").read_text("utf-8")


def test_another_form_is_refused(stored: tuple[str, Path]) -> None:
    name, folder = stored
    for other in FORMS.keys() - {name}:
        with pytest.raises(ModelError, match="are stored in") as caught:
            load(folder, FORMS[other])
        assert caught.value.where == FORMS[other].asked_by
        key = "load_in_8bit" if name == "int8" else "load_in_4bit"
        assert f"{key}: true" in str(caught.value.hint)


@pytest.mark.parametrize("form", [None, FORMS["nf4"]], ids=["whole", "nf4"])
@pytest.mark.parametrize(
    ("method", "hint"), [("gptq", "gptq: true"), ("awq", "name the unquantised model")]
)
def test_the_forms_of_others_are_refused(
    tiny_model: Path, tmp_path: Path, form: Quantized | None, method: str, hint: str
) -> None:
    import json
    import shutil

    folder = shutil.copytree(tiny_model, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["quantization_config"] = {"quant_method": method, "bits": 4}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(ModelError) as caught:
        load(folder, form)
    assert hint in str(caught.value.hint)
