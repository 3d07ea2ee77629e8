"""Base models in 8 and 4 bits: loaded as asked, and the same before and after an evaluation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn.modules import Linear4bit, Linear8bitLt

from axolotl.config.adapter import AdapterSection
from axolotl.config.attention import AttentionSection
from axolotl.config.model import ModelSection
from axolotl.errors import EnvironmentFault, ModelError
from axolotl.models import bnb
from axolotl.models.adapters import attach_new, linear_names
from axolotl.models.backend import open_for_rows
from axolotl.models.isolation import why_not_isolated
from axolotl.models.left_whole import check_share
from axolotl.models.load import open_model
from axolotl.models.matmul import layer_shapes
from axolotl.models.quantized import Quantized
from axolotl.models.tokenizer import load_tokenizer
from tests.conftest import build_llama, build_tokenizer

FORMS = {
    "int8": Quantized("int8", asked_by="load_in_8bit"),
    "nf4": Quantized("nf4", double=True),
    "nf4-bf16": Quantized("nf4", torch.bfloat16, double=True),
    "fp4": Quantized("fp4"),
}
every_form = pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
ROW = torch.arange(3, 99)[None]


def load(folder: Path, form: Quantized | None, **changes: Any) -> Any:
    model = ModelSection(base_model=str(folder))
    settings: dict[str, Any] = {
        "dtype": torch.float32,
        "attn_implementation": "sdpa",
        "tokenizer": load_tokenizer(model),
        "quantized": form,
    }
    return open_model(model, **(settings | changes))


def adapted(folder: Path, form: Quantized) -> Any:
    torch.manual_seed(0)
    return attach_new(
        load(folder, form), AdapterSection(adapter="lora", lora_r=4, lora_target_linear=True)
    )


def weights_in_full(model: Any) -> list[torch.Tensor]:
    full = []
    for layer in bnb.quantised_layers(model):
        weight = layer.weight
        if isinstance(layer, Linear4bit):
            full.append(dequantize_4bit(weight.data, weight.quant_state))
        else:
            full.append(weight.data.clone())
    return full


def gradients(model: Any) -> list[torch.Tensor]:
    model.train().zero_grad()
    model(input_ids=ROW, labels=ROW, use_cache=False).loss.backward()
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


def evaluate(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=ROW, use_cache=False).logits


@every_form
def test_an_evaluation_changes_neither_weights_nor_gradients(
    tiny_model: Path, form: Quantized
) -> None:
    model = adapted(tiny_model, form)
    for layer in bnb.quantised_layers(model):
        if isinstance(layer, Linear4bit):  # what makes the harm, and only on some CPUs
            assert layer.support_avx512bf16_for_cpu is False
    weights, before = weights_in_full(model), gradients(model)
    first = evaluate(model)
    after = gradients(model)
    assert len(before) == len(after) > 0
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(weights, weights_in_full(model), strict=True))
    assert torch.equal(evaluate(model), first)


@every_form
def test_the_training_and_the_evaluation_compute_the_same(
    tiny_model: Path, form: Quantized
) -> None:
    model = load(tiny_model, form)
    evaluated = evaluate(model)
    with torch.no_grad():
        assert torch.equal(model.train()(input_ids=ROW, use_cache=False).logits, evaluated)


@every_form
def test_the_base_is_close_to_the_whole_one_and_frozen(tiny_model: Path, form: Quantized) -> None:
    model = load(tiny_model, form)
    kind = Linear8bitLt if form.kind == "int8" else Linear4bit
    layers = bnb.quantised_layers(model)
    assert len(layers) == 2 * 7
    assert {type(layer) for layer in layers} == {kind}
    assert type(model.get_output_embeddings()) is torch.nn.Linear, "the head stays whole"
    assert not any(p.requires_grad for p in model.parameters())
    whole = evaluate(build_llama())
    error = (evaluate(model) - whole).norm() / whole.norm()
    assert 0 < error < (0.05 if form.kind == "int8" else 0.5)


def test_what_the_library_is_asked_for() -> None:
    def asked(form: Quantized) -> dict[str, Any]:
        return bnb.loading_arguments(form)["quantization_config"].to_diff_dict()

    assert asked(FORMS["int8"])["load_in_8bit"] is True
    four = asked(FORMS["nf4-bf16"])
    assert four["load_in_4bit"] is four["bnb_4bit_use_double_quant"] is True
    assert (four["bnb_4bit_quant_type"], four["bnb_4bit_compute_dtype"]) == ("nf4", "bfloat16")
    plain = bnb.loading_arguments(FORMS["fp4"])["quantization_config"]
    assert (plain.bnb_4bit_quant_type, plain.bnb_4bit_use_double_quant) == ("fp4", False)
    assert bnb.loading_arguments(FORMS["int8"])["quantization_config"].llm_int8_threshold == 6.0


@pytest.mark.parametrize("name", ["int8", "nf4"])
def test_layers_can_be_left_whole_and_the_head_always_is(tiny_model: Path, name: str) -> None:
    form = replace(FORMS[name], skip=("q_proj", "0.mlp.up_proj"), threshold=5.0)
    model = load(tiny_model, form)
    layers = bnb.quantised_layers(model)
    assert len(layers) == 2 * 7 - 3
    left = {
        path
        for path, module in model.named_modules()
        if bnb.is_linear(module) and module not in layers
    }
    attention = {f"model.layers.{i}.self_attn.q_proj" for i in range(2)}
    assert left == {"lm_head", "model.layers.0.mlp.up_proj", *attention}
    if name == "int8":
        assert {layer.state.threshold for layer in layers} == {5.0}
    with pytest.raises(ModelError, match="no linear layer 'query'") as caught:
        load(tiny_model, replace(form, skip=("query",)))
    assert "up_proj" in str(caught.value.hint)


def test_on_a_gpu_the_weights_are_quantised_where_they_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert bnb.loading_arguments(FORMS["nf4"])["device_map"] == {"": "cpu"}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    assert bnb.loading_arguments(FORMS["nf4"])["device_map"] == {"": 3}
    assert FORMS["int8"].rounds_to == torch.float16
    assert FORMS["nf4"].rounds_to == torch.float32


def test_on_a_gpu_the_library_quantises_on_it(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    class Loader:
        @staticmethod
        def from_config(config: Any, **arguments: Any) -> Any:
            return build_llama()

        @staticmethod
        def from_pretrained(source: str, **arguments: Any) -> Any:
            given.update(arguments)
            return build_llama()

    tokenizer = build_tokenizer()
    monkeypatch.setattr("axolotl.models.load._loader", lambda name: Loader)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(bnb, "settle", lambda model, form: None)
    load(tiny_model, FORMS["nf4-bf16"], dtype=torch.bfloat16, tokenizer=tokenizer)
    assert given["device_map"] == {"": 1}
    assert given["dtype"] == torch.bfloat16
    assert given["quantization_config"].bnb_4bit_compute_dtype == torch.bfloat16


def test_on_a_gpu_8_bit_layers_are_left_as_the_library_has_them(tiny_model: Path) -> None:
    """They compute the same in both modes there; `meta` stands for any place but the CPU."""
    model = load(tiny_model, FORMS["int8"])
    for layer in bnb.quantised_layers(model):
        layer._forward_pre_hooks.clear()
        layer.weight = layer.weight.to("meta")
    bnb.settle(model, FORMS["int8"])
    assert not any(layer._forward_pre_hooks for layer in bnb.quantised_layers(model))


def test_adapters_probes_and_counts_find_the_layers(tiny_model: Path) -> None:
    whole = load(tiny_model, None)
    for form in FORMS.values():
        model = load(tiny_model, form)
        assert linear_names(model) == linear_names(whole)
        assert layer_shapes(model) == layer_shapes(whole)


@every_form
def test_documents_of_a_row_stay_apart(tiny_model: Path, form: Quantized) -> None:
    model = ModelSection(base_model=str(tiny_model))
    _, attention = open_for_rows(
        model,
        AttentionSection(),
        origin=str,
        dtype=torch.float32,
        tokenizer=load_tokenizer(model),
        sequence_len=64,
        quantized=form,
    )
    assert attention.isolates


def test_outliers_of_one_document_are_kept_from_the_look_at_attention(tmp_path: Path) -> None:
    """As a GPU computes it: columns with outliers are chosen over all tokens of the row."""
    built = build_llama()
    with torch.no_grad():  # inputs with outliers, as larger models have them
        for layer in built.model.layers:
            layer.input_layernorm.weight.mul_(3)
    built.save_pretrained(tmp_path)
    build_tokenizer().save_pretrained(tmp_path)
    model = load(tmp_path, FORMS["int8"])
    for layer in bnb.quantised_layers(model):
        layer._forward_pre_hooks.clear()
    assert "see each other" in (why_not_isolated(model, computes_in=torch.float16) or "")
    with bnb.without_outliers(model):
        assert why_not_isolated(model, computes_in=torch.float16) is None
    assert {layer.state.threshold for layer in bnb.quantised_layers(model)} == {6.0}


@every_form
def test_embeddings_grow_on_a_quantised_base(tiny_model: Path, form: Quantized) -> None:
    model = ModelSection(base_model=str(tiny_model), tokens=[f"<extra{i}>" for i in range(200)])
    tokenizer = load_tokenizer(model)
    loaded = load(tiny_model, form, tokenizer=tokenizer)
    assert loaded.get_input_embeddings().weight.shape[0] == len(tokenizer) > 512
    assert evaluate(loaded).shape[-1] == len(tokenizer)


def test_layers_that_hold_their_weights_the_other_way_round_are_quantised_too(
    tmp_path: Path,
) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=512, n_embd=64, n_layer=2, n_head=4, n_positions=128)
    whole = GPT2LMHeadModel(config).eval()
    whole.save_pretrained(tmp_path)
    build_tokenizer().save_pretrained(tmp_path)
    for form in FORMS.values():
        model = load(tmp_path, form)
        assert linear_names(model) == ["c_attn", "c_fc", "c_proj"]
        error = (evaluate(model) - evaluate(whole)).norm() / evaluate(whole).norm()
        assert error < 0.5
        tuned = attach_new(model, AdapterSection(adapter="lora", lora_r=4, lora_target_linear=True))
        assert gradients(tuned)


def test_a_model_without_such_layers_is_refused(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bnb, "quantised_layers", lambda model: [])
    with pytest.raises(ModelError, match="no linear layers") as caught:
        load(tiny_model, FORMS["nf4"])
    assert caught.value.where == "load_in_4bit"


@every_form
def test_what_is_freed_while_loading_is_given_back_to_the_system(
    tiny_model: Path, form: Quantized, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    class WithTrim:
        malloc_trim = staticmethod(asked.append)

    monkeypatch.setattr(bnb.ctypes, "CDLL", lambda name: WithTrim)
    load(tiny_model, form)
    assert asked == [0]
    monkeypatch.setattr(bnb.ctypes, "CDLL", lambda name: object())
    bnb.give_back_freed_memory()  # a C library without it


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "bitsandbytes", None)
    with pytest.raises(EnvironmentFault, match="load_in_8bit needs") as caught:
        bnb.loading_arguments(FORMS["int8"])
    assert "axolotl[bnb]" in str(caught.value.hint)
    with pytest.raises(EnvironmentFault, match="load_in_8bit needs"):
        check_share(build_llama(), FORMS["int8"])
