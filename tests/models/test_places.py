"""Model and tokenizer come from the places, and with the settings, that the file names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from peft.tuners.lora import LoraLayer
from transformers import GPT2Config, GPT2LMHeadModel

from axolotl.config.adapter import AdapterSection
from axolotl.config.model import ModelSection
from axolotl.config.precision import PrecisionSection
from axolotl.models.adapters import attach_new
from axolotl.models.load import model_config, open_model, weight_dtype
from axolotl.models.tokenizer import load_tokenizer
from tests.conftest import build_llama, build_tokenizer


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder with a configuration and a tokenizer that differ from the tiny model's."""
    config = build_llama().config
    config.rms_norm_eps = 0.5
    config.save_pretrained(tmp_path)
    build_tokenizer(bos=True).save_pretrained(tmp_path)
    return tmp_path


def test_the_weights_come_from_base_model(tiny_model: Path, tmp_path: Path) -> None:
    build_llama(seed=1).save_pretrained(tmp_path)
    build_tokenizer().save_pretrained(tmp_path)

    def weight(base_model: Path) -> Any:
        model = ModelSection(base_model=str(base_model))
        opened = open_model(
            model,
            dtype=torch.float32,
            attn_implementation="sdpa",
            tokenizer=load_tokenizer(model),
        )
        return opened.get_input_embeddings().weight

    assert torch.equal(weight(tmp_path), build_llama(seed=1).get_input_embeddings().weight)
    assert not torch.equal(weight(tmp_path), weight(tiny_model))


def test_the_model_configuration_comes_from_base_model_config(
    tiny_model: Path, elsewhere: Path
) -> None:
    model = ModelSection(base_model=str(tiny_model), base_model_config=str(elsewhere))
    opened = open_model(
        model,
        dtype=torch.float32,
        attn_implementation="sdpa",
        tokenizer=load_tokenizer(model),
    )
    assert opened.config.rms_norm_eps == 0.5
    assert model_config(ModelSection(base_model=str(tiny_model))).rms_norm_eps != 0.5


def test_the_tokenizer_comes_from_tokenizer_config(tiny_model: Path, elsewhere: Path) -> None:
    model = ModelSection(base_model=str(tiny_model))
    assert load_tokenizer(model)("blue").input_ids[0] != 1
    other = model.model_copy(update={"tokenizer_config": str(elsewhere)})
    assert load_tokenizer(other)("blue").input_ids[0] == 1


def test_what_is_asked_of_the_library(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[Any, dict[str, Any]] = {}  # the last call of each: the library asks itself, too

    def listen(loader: Any) -> None:
        plain = loader.from_pretrained

        def from_pretrained(*args: Any, **options: Any) -> Any:
            asked[loader] = options
            return plain(*args, **options)

        monkeypatch.setattr(loader, "from_pretrained", from_pretrained)

    for name in ("AutoConfig", "AutoTokenizer", "LlamaForCausalLM"):
        listen(getattr(transformers, name))
    model = ModelSection(
        base_model=str(tiny_model),
        model_revision="v2",
        model_type="LlamaForCausalLM",
        trust_remote_code=True,
    )
    open_model(
        model,
        dtype=torch.float32,
        attn_implementation="sdpa",
        tokenizer=load_tokenizer(model),
    )
    assert len(asked) == 3
    assert {options["revision"] for options in asked.values()} == {"v2"}
    assert {options["trust_remote_code"] for options in asked.values()} == {True}


def test_the_tokenizer_class_is_the_one_of_tokenizer_type(tiny_model: Path) -> None:
    model = ModelSection(base_model=str(tiny_model), tokenizer_type="GPT2Tokenizer")
    assert type(load_tokenizer(model)).__name__ == "GPT2Tokenizer"


def test_float16_holds_the_weights_in_half_precision() -> None:
    assert weight_dtype(PrecisionSection(float16=True)) == torch.float16
    assert weight_dtype(PrecisionSection(fp16=True)) == torch.float32


def test_layers_that_are_stored_transposed() -> None:
    def layers(**options: Any) -> list[Any]:
        base = GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=32, n_head=2, vocab_size=64))
        adapter = AdapterSection(adapter="lora", lora_target_modules=["c_attn"], **options)
        return [m for m in attach_new(base, adapter).modules() if isinstance(m, LoraLayer)]

    assert [x.fan_in_fan_out for x in layers(lora_fan_in_fan_out=True)] == [True]
    with pytest.warns(UserWarning, match="Setting fan_in_fan_out to True"):
        layers()
