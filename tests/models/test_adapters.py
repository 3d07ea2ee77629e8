"""A new adapter is what its options say, and an option that means nothing in a model is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from transformers import GPT2Config, GPT2LMHeadModel

from axolotl.config.adapter import AdapterSection
from axolotl.errors import ModelError
from axolotl.models.adapters import attach_new, save_adapter, take_weights
from axolotl.models.isolation import why_not_isolated
from axolotl.models.tiny import tiny_model
from axolotl.training.loss import RowLoss
from tests.conftest import build_llama

IDS = torch.arange(3, 23)[None]


def new(base: Any = None, **options: Any) -> Any:
    torch.manual_seed(1)
    given = AdapterSection.model_validate({"adapter": "lora", "lora_r": 4} | options)
    return attach_new(build_llama() if base is None else base, given)


def gpt2() -> Any:
    torch.manual_seed(0)
    ends: dict[str, Any] = {"bos_token_id": 1, "eos_token_id": 2}
    return GPT2LMHeadModel(GPT2Config(n_layer=2, n_embd=32, n_head=2, vocab_size=64, **ends)).eval()


def layers(model: Any) -> dict[str, Any]:
    return {
        name.removeprefix("base_model.model."): module
        for name, module in model.named_modules()
        if isinstance(module, LoraLayer)
    }


def scales(model: Any) -> dict[str, float]:
    """Last name part → alpha / r."""
    return {name.rpartition(".")[2]: m.scaling["default"] for name, m in layers(model).items()}


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


EFFECTS: dict[str, tuple[dict[str, Any], Callable[[Any], bool]]] = {
    "peft_use_dora": (
        {"peft_use_dora": True},
        lambda m: any("lora_magnitude_vector" in name for name, _ in m.named_parameters()),
    ),
    "peft_use_rslora": (
        {"peft_use_rslora": True, "lora_alpha": 16},
        lambda m: set(scales(m).values()) == {16 / math.sqrt(4)},
    ),
    "peft_layers_to_transform": (
        {"peft_layers_to_transform": 1},
        lambda m: {name.split(".")[2] for name in layers(m)} == {"1"},
    ),
    "peft_layers_pattern": (
        {"peft_layers_to_transform": [0], "peft_layers_pattern": "layers"},
        lambda m: {name.split(".")[2] for name in layers(m)} == {"0"},
    ),
    "peft_layer_replication": (
        {"peft_layer_replication": [[0, 2], [0, 2]]},
        lambda m: {name.split(".")[2] for name in layers(m)} == {"0", "1", "2", "3"},
    ),
    "lora_rank_pattern": (
        {"lora_rank_pattern": {"q_proj": 2, "v_proj": 8}},
        lambda m: (
            {name.rpartition(".")[2]: x.r["default"] for name, x in layers(m).items()}.items()
            >= {"q_proj": 2, "k_proj": 4, "v_proj": 8}.items()
        ),
    ),
    "lora_alpha_pattern": (
        {"lora_alpha_pattern": {"layers.0.self_attn.q_proj": 2.0}, "lora_alpha": 8},
        lambda m: (
            layers(m)["model.layers.0.self_attn.q_proj"].scaling["default"] == 0.5
            and layers(m)["model.layers.1.self_attn.q_proj"].scaling["default"] == 2
        ),
    ),
    "a regular expression": (
        {"lora_target_modules": r".*layers\.1\..*\.(q|v)_proj"},
        lambda m: (
            set(layers(m)) == {f"model.layers.1.self_attn.{name}_proj" for name in ("q", "v")}
        ),
    ),
    "a regular expression and all linear layers": (
        {"lora_target_modules": r".*embed_tokens", "lora_target_linear": True},
        # the head is tied to the embeddings, and stays so
        lambda m: len(layers(m)) == 16 and {"model.embed_tokens", "lm_head"} < set(layers(m)),
    ),
    "a regular expression in some layers": (
        {"lora_target_modules": r".*(q|v)_proj", "peft_layers_to_transform": [1]},
        lambda m: len(layers(m)) == 2,
    ),
}


@pytest.mark.parametrize("option", EFFECTS)
def test_the_adapter_is_as_asked(option: str) -> None:
    options, holds = EFFECTS[option]
    assert holds(new(**options))
    if option.startswith(("peft", "lora")):
        assert not holds(new())


STARTS = [True, "gaussian", "orthogonal", "mica", "pissa", "pissa_niter_8", "olora"]


@pytest.mark.parametrize("start", STARTS)
def test_peft_init_lora_weights_keeps_the_logits_of_the_base(start: Any) -> None:
    before = logits(build_llama())
    model = new(peft_init_lora_weights=start)
    assert torch.allclose(logits(model), before, atol=1e-5)
    layer = next(iter(layers(model).values()))
    moved = not torch.equal(
        layer.get_base_layer().weight, build_llama().model.layers[0].self_attn.q_proj.weight
    )
    assert moved == (str(start).startswith("pissa") or start == "olora")


def test_a_random_start_does_not() -> None:
    model = new(peft_init_lora_weights=False)
    assert not torch.allclose(logits(model), logits(build_llama()), atol=1e-3)


@torch.no_grad()
def error_of_the_product(model: Any) -> float:
    """How far base and adapter together are from the weights before, at one layer."""
    layer = layers(model)["model.layers.0.self_attn.q_proj"]
    product = layer.get_base_layer().weight + layer.get_delta_weight("default")
    return float((product - build_llama().model.layers[0].self_attn.q_proj.weight).norm())


@pytest.mark.parametrize("alpha", [4, 32])
def test_loftq_config_says_how_the_base_is_rounded_and_the_adapter_makes_up_for_it(
    alpha: int,
) -> None:
    def apart(rank: int, loftq_bits: int, loftq_iter: int = 1) -> float:
        settings = {"loftq_config": {"loftq_bits": loftq_bits, "loftq_iter": loftq_iter}}
        options = {"peft_init_lora_weights": "loftq", "peft": settings}
        return error_of_the_product(new(lora_r=rank, lora_alpha=alpha, **options))

    assert apart(16, 4) < apart(4, 4), "more ranks leave less"
    assert apart(4, 8) < apart(4, 4) / 5
    assert apart(8, 4, loftq_iter=5) < apart(8, 4)
    layer = layers(new(peft_init_lora_weights="loftq"))["model.layers.0.self_attn.q_proj"]
    blocks = layer.get_base_layer().weight.reshape(-1, 64)
    assert max(len(block.unique()) for block in blocks) <= 16, "NF4 has 16 values"


def test_loftq_of_weights_that_are_stored_transposed() -> None:
    settings = {"loftq_config": {"loftq_bits": 8}}
    model = new(gpt2(), peft_init_lora_weights="loftq", peft=settings)
    assert torch.allclose(logits(model), logits(gpt2()), atol=2e-2)


@pytest.mark.parametrize("start", ["pissa", True])
def test_layers_that_are_stored_transposed_begin_rightly(start: Any) -> None:
    model = new(gpt2(), peft_init_lora_weights=start, peft_use_dora=True)
    assert torch.allclose(logits(model), logits(gpt2()), atol=1e-5)


def test_peft_trainable_token_indices_lets_some_rows_learn_in_embeddings_and_tied_head() -> None:
    model = new(peft_trainable_token_indices=[5, 6])
    names = [n for n, p in model.named_parameters() if p.requires_grad and "lora_" not in n]
    assert names == [
        "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta.default"
    ]
    before = logits(model)
    with torch.no_grad():
        dict(model.named_parameters())[names[0]].add_(1)
    after = logits(model)
    assert not torch.allclose(after[..., 5], before[..., 5])
    apart = new(
        build_llama(tie_word_embeddings=False),
        peft_trainable_token_indices={"embed_tokens": [5], "lm_head": [7, 8]},
    )
    rows = [tuple(p.shape) for n, p in apart.named_parameters() if "trainable_tokens_delta" in n]
    assert rows == [(1, 64), (2, 64)]


def gated(model: Any) -> Any:
    """Prompts that are heard: their gates are open, as after a training."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "adaption_gate" in name:
                parameter.fill_(1.0)
    return model.eval()


def test_peft_adapter_says_how_many_layers_get_prompts_and_their_len() -> None:
    def shapes(**settings: Any) -> list[tuple[int, ...]]:
        model = new(adapter="llama-adapter", peft_adapter=settings or None)
        return [tuple(p.shape) for n, p in model.named_parameters() if "adaption_prompt" in n]

    assert shapes(layers=1, len=3) == [(1, 3, 64)]
    assert shapes() == [(1, 10, 64)] * 2, "all layers of a model that has fewer than 30"
    model = new(adapter="llama-adapter", peft_adapter={"layers": 2, "len": 3})
    assert torch.allclose(logits(model), logits(build_llama()), atol=1e-6), (
        "the gates begin at zero"
    )


def test_each_document_of_a_row_hears_the_prompts_alike() -> None:
    model = gated(new(adapter="llama-adapter"))
    assert not torch.allclose(logits(model), logits(build_llama()), atol=1e-3)
    assert why_not_isolated(model) is None


REFUSED: dict[str, tuple[Callable[[], Any], dict[str, Any], str, str, str]] = {
    "a name as a regular expression": (
        build_llama,
        {"lora_target_modules": "q_proj"},
        "lora_target_modules",
        "finds no place",
        r"write `\[q_proj\]`",
    ),
    "a broken expression": (
        build_llama,
        {"lora_target_modules": "(q", "lora_target_linear": True},
        "lora_target_modules",
        "no regular expression",
        "ends of names",
    ),
    "a pattern of no layer": (
        build_llama,
        {"lora_rank_pattern": {"q_porj": 2}},
        "lora_rank_pattern",
        "no adapted layer is called 'q_porj'",
        "did you mean q_proj",
    ),
    "an alpha of no layer": (
        build_llama,
        {"lora_alpha_pattern": {"k_proj": 2}, "lora_target_modules": ["q_proj"]},
        "lora_alpha_pattern",
        "no adapted layer is called 'k_proj'",
        "adapted layers are q_proj",
    ),
    "a layer beyond the last": (
        build_llama,
        {"peft_layers_to_transform": [0, 2]},
        "peft_layers_to_transform",
        "none with the number 2",
        "0 to 1",
    ),
    "a range beyond the last": (
        build_llama,
        {"peft_layer_replication": [[0, 3]]},
        "peft_layer_replication",
        r"\[0, 3\] goes beyond",
        "2 at most",
    ),
    "a token beyond the last": (
        build_llama,
        {"peft_trainable_token_indices": [512]},
        "peft_trainable_token_indices",
        "has 512 rows, and none for the tokens 512",
        "0 to 511",
    ),
    "tokens of no module": (
        build_llama,
        {"peft_trainable_token_indices": {"embed": [1]}},
        "peft_trainable_token_indices",
        "no module 'embed'",
        "embed_tokens",
    ),
    "tokens of a module that is trained as a whole": (
        build_llama,
        {"peft_trainable_token_indices": [1], "lora_modules_to_save": ["embed_tokens"]},
        "peft_trainable_token_indices",
        "trained as a whole",
        "out of lora_modules_to_save",
    ),
    "a rank that the weights do not have": (
        build_llama,
        {"peft_init_lora_weights": "pissa", "lora_r": 40},
        "lora_r",
        "32 singular values",
        "32 or less",
    ),
    "olora of transposed weights": (
        gpt2,
        {"peft_init_lora_weights": "olora"},
        "peft_init_lora_weights",
        "stores its weights transposed",
        "pissa",
    ),
    "prompts of another model": (
        gpt2,
        {"adapter": "llama-adapter"},
        "adapter",
        "no such prompts for this model",
        "llama and mistral",
    ),
    "more prompts than layers": (
        build_llama,
        {"adapter": "llama-adapter", "peft_adapter": {"layers": 3}},
        "peft_adapter.layers",
        "has 2 layers",
        "layers: 2",
    ),
    "dora of a row of zeros": (
        build_llama,  # its embeddings of the pad token are zero, and the head is tied to them
        {"peft_use_dora": True, "lora_target_modules": ["lm_head"]},
        "peft_use_dora",
        "divides by the length",
        "out of lora_target_modules",
    ),
    "dora on what is no linear layer": (
        build_llama,
        {"peft_use_dora": True, "lora_target_modules": ["input_layernorm"]},
        "peft_use_dora",
        "does not fit",
        "linear layers",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_model_does_not_have_is_refused(case: str) -> None:
    base, options, where, says, hint = REFUSED[case]
    with pytest.raises(ModelError, match=says) as caught:
        new(base(), **options)
    assert caught.value.where == where
    assert caught.value.hint is not None
    assert re.search(hint, caught.value.hint), caught.value.hint


TRAINED_IN_THE_HEAD: dict[str, dict[str, Any]] = {
    "tokens": {"peft_trainable_token_indices": [5, 9]},
    "lora": {"lora_target_modules": ["lm_head"]},
    "dora": {"lora_target_modules": ["q_proj", "down_proj"], "peft_use_dora": True},
    "as a whole": {"lora_modules_to_save": ["lm_head"]},
    "prompts": {"adapter": "llama-adapter"},
}


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "apart"])
@pytest.mark.parametrize("kind", TRAINED_IN_THE_HEAD)
def test_the_loss_in_the_head_gives_the_gradients_of_plain_logits(kind: str, tied: bool) -> None:
    options = TRAINED_IN_THE_HEAD[kind]
    model = new(build_llama(tie_word_embeddings=tied), **options)
    labels = IDS.clone()
    labels[0, :7] = -100
    row = {"input_ids": IDS, "labels": labels, "position_ids": torch.arange(IDS.shape[1])[None]}

    def gradients(loss: torch.Tensor) -> dict[str, torch.Tensor]:
        model.zero_grad()
        loss.backward()
        return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    fused = RowLoss(model)
    assert fused.why_not_fused is None
    got = gradients(fused(model, row))
    plain = model(input_ids=IDS).logits[0, :-1]
    want = gradients(
        torch.nn.functional.cross_entropy(plain, labels[0, 1:], reduction="sum", ignore_index=-100)
    )
    assert got.keys() == want.keys()
    assert all(torch.allclose(got[n], want[n], rtol=1e-3, atol=1e-5) for n in got)
    assert any(float(gradient.abs().max()) > 0 for gradient in got.values())


def test_a_base_from_the_hub_is_not_asked_for_at_a_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = tmp_path / "hub" / "models--someone--tiny"
    build_llama().config.save_pretrained(cached / "snapshots" / "abc")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))

    def asked(*_: Any, **__: Any) -> None:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("peft.utils.save_and_load.check_file_exists_on_hf_hub", asked)
    adapted = new()
    adapted.peft_config["default"].base_model_name_or_path = "someone/tiny"

    def embeddings_saved(folder: str) -> bool:
        save_adapter(adapted, tmp_path / folder)
        saved = load_file(tmp_path / folder / "adapter_model.safetensors")
        return any("embed_tokens" in name for name in saved)

    assert not embeddings_saved("same")
    adapted.get_base_model().resize_token_embeddings(
        adapted.config.vocab_size + 2, mean_resizing=False
    )
    assert embeddings_saved("larger")


def test_a_start_that_another_machine_finds_differently_is_taken_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def with_seed(seed: int) -> Any:
        base = build_llama()
        torch.manual_seed(seed)
        options = {"adapter": "lora", "lora_r": 4, "peft_init_lora_weights": "pissa_niter_0"}
        return attach_new(base, AdapterSection.model_validate(options))

    there, here = with_seed(1), with_seed(2)
    with torch.no_grad():
        for name, parameter in there.named_parameters():
            if "lora_B" in name:
                parameter.add_(0.01)
    save_adapter(there, tmp_path)
    assert take_weights(here, tmp_path)
    assert "began with other factors" in capsys.readouterr().err
    assert torch.allclose(logits(here), logits(there), atol=1e-5)
    save_adapter(here, tmp_path / "again")
    one, other = (
        load_file(folder / "adapter_model.safetensors") for folder in (tmp_path, tmp_path / "again")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert take_weights(here, tmp_path)
    assert "began with other factors" not in capsys.readouterr().err


@pytest.mark.parametrize(("model_type", "past"), [("mamba", "dt_proj"), ("mamba2", "out_proj")])
def test_a_layer_whose_weight_is_read_past_it_gets_no_adapter(
    model_type: str, past: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Mamba's code multiplies by `dt_proj.weight` itself: an adapter there would learn nothing."""
    model = new(tiny_model(model_type), lora_target_linear=True)
    assert {name.rpartition(".")[2] for name in layers(model)} == {"in_proj"}
    said = capsys.readouterr().err
    assert past in said
    assert "has no effect" in said
    model(input_ids=IDS, use_cache=False).logits.sum().backward()
    assert all(m.lora_B["default"].weight.grad.abs().max() > 0 for m in layers(model).values())
    with pytest.raises(ModelError, match="past the layer") as refused:
        new(tiny_model(model_type), lora_target_modules=["in_proj", past])
    assert refused.value.where == "lora_target_modules"


def test_mamba_reads_the_weight_of_a_layer_past_it() -> None:
    """Where this fails the library calls the layer, and `read_past` can go."""
    model = tiny_model("mamba")
    called: list[bool] = []
    for layer in model.backbone.layers:
        layer.mixer.dt_proj.register_forward_hook(lambda *_: called.append(True))
    model(input_ids=IDS, use_cache=False)
    assert not called
