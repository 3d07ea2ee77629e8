"""The base model is loaded as asked, with embeddings for every token."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from axolotl.config.adapter import AdapterSection
from axolotl.config.model import ModelSection
from axolotl.config.precision import PrecisionSection
from axolotl.errors import ModelError
from axolotl.models.adapters import attach_new, attach_saved, linear_names
from axolotl.models.load import open_model, weight_dtype
from axolotl.models.tokenizer import load_tokenizer
from tests.conftest import build_llama, build_tokenizer


def section(folder: Path, **changes: Any) -> ModelSection:
    return ModelSection(base_model=str(folder), **changes)


def load(model: ModelSection, **changes: Any) -> Any:
    settings: dict[str, Any] = {
        "dtype": torch.float32,
        "attn_implementation": "sdpa",
        "tokenizer": load_tokenizer(model),
    }
    return open_model(model, **(settings | changes))


def test_weights_are_held_in_the_precision_asked_for(tiny_model: Path) -> None:
    assert weight_dtype(PrecisionSection()) == torch.float32
    assert weight_dtype(PrecisionSection(bf16=True)) == torch.float32
    assert weight_dtype(PrecisionSection(bfloat16=True)) == torch.bfloat16
    model = load(section(tiny_model), dtype=torch.bfloat16)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert model.config.use_cache is True, "as in the base's config.json: it is saved again"


def test_special_and_added_tokens_get_embeddings(tmp_path: Path) -> None:
    build_llama(vocab=len(build_tokenizer())).save_pretrained(tmp_path)
    build_tokenizer().save_pretrained(tmp_path)
    model = section(tmp_path, special_tokens={"eos_token": "<end>"}, tokens=["<tool>", "<colour>"])
    tokenizer = load_tokenizer(model)
    assert tokenizer.eos_token == "<end>"
    assert tokenizer.convert_ids_to_tokens(tokenizer(" <tool>x").input_ids)[1] == "<tool>"
    before = len(build_tokenizer())
    assert len(tokenizer) == before + 3
    assert load(model).get_input_embeddings().weight.shape[0] == before + 3
    rounded = model.model_copy(update={"resize_token_embeddings_to_32x": True})
    size = load(rounded).get_input_embeddings().weight.shape[0]
    assert size % 32 == 0
    assert 0 <= size - (before + 3) < 32


def test_embeddings_are_never_shrunk(tiny_model: Path) -> None:
    assert load(section(tiny_model)).get_input_embeddings().weight.shape[0] == 512


def test_a_tokenizer_without_padding_pads_with_its_end_token(tmp_path: Path) -> None:
    tokenizer = build_tokenizer()
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path)
    build_llama().save_pretrained(tmp_path)
    assert load_tokenizer(section(tmp_path)).pad_token == "</s>"


def test_a_tokenizer_without_end_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = build_tokenizer()
    tokenizer.eos_token = None
    tokenizer.save_pretrained(tmp_path)
    build_llama().save_pretrained(tmp_path)
    load_tokenizer(section(tmp_path))
    assert "the tokenizer has no end token" in capsys.readouterr().err


def test_what_cannot_be_loaded_is_the_users_mistake(tmp_path: Path, tiny_model: Path) -> None:
    with pytest.raises(ModelError, match="no model class 'LlamaForCausalLN'"):
        load(section(tiny_model, model_type="LlamaForCausalLN"))
    with pytest.raises(ModelError, match="'LlamaModel' has no output head"):
        load(section(tiny_model, model_type="LlamaModel"))
    with pytest.raises(ModelError, match="'LlamaConfig' is no model"):
        load(section(tiny_model, model_type="LlamaConfig"))
    with pytest.raises(ModelError, match="no tokenizer class 'Lama'"):
        load_tokenizer(section(tiny_model, tokenizer_type="Lama"))
    with pytest.raises(ModelError, match="'LlamaConfig' is no tokenizer"):
        load_tokenizer(section(tiny_model, tokenizer_type="LlamaConfig"))
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(ModelError, match="no tokenizer loads from"):
        load_tokenizer(section(tmp_path))
    build_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="does not load from"):
        load(section(tmp_path))


def test_damaged_weights_are_said_to_be_damaged(tiny_model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    _cut(folder / "model.safetensors")
    with pytest.raises(ModelError, match="does not load from") as caught:
        load(section(folder))
    assert "damaged" in str(caught.value.hint)
    adapter = tmp_path / "adapter"
    attach_new(build_llama(), AdapterSection(adapter="lora")).save_pretrained(str(adapter))
    _cut(adapter / "adapter_model.safetensors")
    with pytest.raises(ModelError, match=r"adapter_model\.safetensors' is damaged"):
        attach_saved(build_llama(), adapter, trainable=False)


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:1000])


def test_a_module_to_save_that_the_model_does_not_have() -> None:
    options = AdapterSection(adapter="lora", lora_modules_to_save=["embed_tokens", "lm_haed"])
    with pytest.raises(ModelError, match="no module 'lm_haed'") as caught:
        attach_new(build_llama(), options)
    assert caught.value.where == "lora_modules_to_save"
    assert "did you mean lm_head?" in str(caught.value.hint)


def test_an_adapter_takes_the_layers_asked_for(tiny_model: Path) -> None:
    def targets(**options: Any) -> set[str]:
        model = attach_new(build_llama(), AdapterSection(adapter="lora", **options))
        return {
            n.split(".lora_A")[0].rpartition(".")[2]
            for n, p in model.named_parameters()
            if "lora_A" in n
        }

    everything = set(linear_names(build_llama()))
    assert everything == {
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
    }
    assert targets(lora_target_linear=True) == everything
    assert targets() == everything
    assert targets(lora_target_modules=["q_proj", "v_proj"]) == {"q_proj", "v_proj"}
    assert targets(lora_target_modules=["lm_head"], lora_target_linear=True) >= {"lm_head"}
    with pytest.raises(ModelError, match="its linear layers are down_proj"):
        targets(lora_target_modules=["query"])


def test_a_new_adapter_has_its_options_and_changes_nothing_yet(tiny_model: Path) -> None:
    base = build_llama()
    ids = torch.arange(3, 20)[None]
    before = base(input_ids=ids).logits
    options = AdapterSection(
        adapter="lora", lora_r=4, lora_alpha=12, lora_dropout=0.25, lora_modules_to_save=["lm_head"]
    )
    model = attach_new(base, options)
    config = model.peft_config["default"]
    assert (config.r, config.lora_alpha, config.lora_dropout) == (4, 12, 0.25)  # pyright: ignore[reportAttributeAccessIssue]
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert all("lora_" in n or "modules_to_save" in n for n in trained)
    assert any("modules_to_save" in n for n in trained)
    assert torch.equal(model.eval()(input_ids=ids).logits, before)


def test_an_adapter_that_does_not_fit(tmp_path: Path) -> None:
    attach_new(build_llama(), AdapterSection(adapter="lora")).save_pretrained(str(tmp_path))
    with pytest.raises(ModelError, match="does not fit the base model: size mismatch"):
        attach_saved(build_llama(hidden_size=32), tmp_path, trainable=False)
    (tmp_path / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"holds no adapter_model\.safetensors"):
        attach_saved(build_llama(), tmp_path, trainable=False)
    with pytest.raises(ModelError, match="no adapter folder"):
        attach_saved(build_llama(), tmp_path / "none", trainable=False)
    with pytest.raises(ModelError) as caught:
        attach_saved(build_llama(), tmp_path / "none", trainable=True, where="lora_model_dir")
    assert caught.value.where == "lora_model_dir"
