"""Merging an adapter into its base and beginning it anew leaves the outputs as they were."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel

from axolotl.errors import ModelError
from axolotl.models.quiet import quiet_peft
from axolotl.training.relora.layers import adapted_layers, base_state, begin_adapter_anew
from tests.conftest import build_llama

IDS = torch.arange(1, 40)[None]
LINEAR = ["q_proj", "v_proj", "down_proj"]


def adapted(model: Any = None, **settings: Any) -> Any:
    """A model with an adapter that has learnt something."""
    options = {"r": 4, "lora_alpha": 8, "target_modules": LINEAR, "task_type": "CAUSAL_LM"}
    torch.manual_seed(1)
    with quiet_peft():
        model = get_peft_model(model or build_llama(), LoraConfig(**(options | settings)))
    for name, weight in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.1)
    return model.eval()


def gpt2() -> Any:
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=2)).eval()


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS).logits


def merge(model: Any, step: int = 4, seed: int = 1) -> None:
    layers = adapted_layers(model)
    for item in layers:
        item.put(item.base.weight.float() + item.delta())
    begin_adapter_anew(layers, model, seed=seed, step=step)


def lora(model: Any, kind: str) -> list[torch.Tensor]:
    return [p.detach().clone() for n, p in model.named_parameters() if f"lora_{kind}" in n]


@pytest.mark.parametrize(
    "make",
    [
        adapted,
        lambda: adapted(use_rslora=True),
        lambda: adapted(rank_pattern={"q_proj": 2}, alpha_pattern={"down_proj": 3}),
        lambda: adapted(init_lora_weights="gaussian"),
        lambda: adapted(modules_to_save=["embed_tokens"], ensure_weight_tying=True),
        lambda: adapted(gpt2(), target_modules=["c_attn", "c_proj"], fan_in_fan_out=True),
        lambda: adapted(
            build_llama(tie_word_embeddings=False), target_modules=[*LINEAR, "lm_head"]
        ),
        lambda: adapted(
            build_llama(tie_word_embeddings=False), target_modules=[*LINEAR, "embed_tokens"]
        ),
    ],
    ids=["plain", "rslora", "patterns", "gaussian", "saved", "conv1d", "head", "embeddings"],
)
def test_outputs_stay_and_the_base_moves(make: Any) -> None:
    model = make()
    before, weights = logits(model), {n: w.clone() for n, w in base_state(model).items()}
    names = {item.name for item in adapted_layers(model)}
    merge(model)
    after = logits(model)
    assert torch.allclose(after, before, atol=1e-5, rtol=0)
    for name, weight in base_state(model).items():
        assert torch.equal(weight, weights[name]) == (name not in names), name
    with model.disable_adapter():
        assert torch.allclose(logits(model), after, atol=1e-6), "the adapter adds nothing now"


def test_a_is_random_b_zero_the_same_for_the_same_seed_and_step() -> None:
    model = adapted()
    old = lora(model, "A")
    seen = {}
    for key in [(1, 4), (1, 4), (1, 8), (2, 4)]:
        state = torch.get_rng_state()
        merge(model, seed=key[0], step=key[1])
        assert torch.equal(torch.get_rng_state(), state), "dropout goes on as it would have"
        assert not any(b.any() for b in lora(model, "B"))
        new = lora(model, "A")
        assert all(not torch.equal(a, b) for a, b in zip(new, old, strict=True))
        if key in seen:
            assert all(torch.equal(a, b) for a, b in zip(new, seen[key], strict=True))
        assert all(not torch.equal(new[0], other[0]) for at, other in seen.items() if at != key)
        seen[key] = new


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"use_dora": True}, "not DoRA"),
        ({"init_lora_weights": "olora"}, "begun with 'olora'"),
        ({"init_lora_weights": False}, "begun with 'False'"),
        ({"target_modules": ["lm_head"], "ensure_weight_tying": True}, "share their weight"),
        ({"target_modules": ["embed_tokens"], "ensure_weight_tying": True}, "share their weight"),
    ],
)
def test_what_cannot_be_merged_is_refused(settings: dict[str, Any], message: str) -> None:
    model = adapted(**settings)
    with pytest.raises(ModelError, match=message) as caught:
        adapted_layers(model)
    assert caught.value.where == "relora_steps"
