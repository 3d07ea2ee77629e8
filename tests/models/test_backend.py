"""The attention of a loaded model: what is tried, what is taken, and what is refused."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GptOssConfig,
    LlamaConfig,
    MistralConfig,
    PhimoeConfig,
    PreTrainedConfig,
)

from axolotl.attention import Candidates, candidates, registered_name
from axolotl.errors import ConfigError
from axolotl.models.backend import attention_need, settle_attention
from axolotl.training.generation import ready_to_generate
from tests.attention import stand_ins
from tests.conftest import build_llama

SMALL: dict[str, Any] = {
    "vocab_size": 128,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
}
CAPPED = Gemma2Config(**SMALL, head_dim=16, sliding_window=6, attn_logit_softcapping=0.5)
SINKS = GptOssConfig(
    **SMALL, head_dim=16, sliding_window=6, num_local_experts=2, num_experts_per_tok=1
)
WINDOW = MistralConfig(**SMALL, sliding_window=6)
LENGTHS = [5, 11, 1, 17]


def build(config: PreTrainedConfig, attention: str = "eager") -> Any:
    torch.manual_seed(0)
    model: Any = AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            # Large enough for a cap, a window or a sink to show.
            if name.endswith(("q_proj.weight", "k_proj.weight")):
                weight.mul_(20)
            if name.endswith("sinks"):
                weight.copy_(torch.linspace(-1, 2, len(weight)))
    return model


def logits(model: Any, lengths: list[int], ids: torch.Tensor) -> torch.Tensor:
    positions = torch.cat([torch.arange(n) for n in lengths])[None]
    return model(input_ids=ids, position_ids=positions, use_cache=False).logits


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins for all kernels, with the CPU as a GPU."""
    kernel = import_module("axolotl.attention._kernel")
    place = torch.device("cpu"), torch.bfloat16
    monkeypatch.setattr(kernel, "_trial_place", lambda: place)
    monkeypatch.setattr(kernel, "runs_on", lambda device: True)
    kernel.prove.cache_clear()
    for put in (stand_ins.flash_attn_2, stand_ins.flash_attn_3, stand_ins.xformers):
        put(monkeypatch)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize(
    ("config", "backend"),
    [
        *((CAPPED, name) for name in ("per_document", "flash_attention_2", "flash_attention_3")),
        (SINKS, "per_document"),
        *((WINDOW, name) for name in ("per_document", "sdpa", "flash_attention_2", "xformers")),
    ],
    ids=lambda x: x if isinstance(x, str) else x.model_type,
)
def test_a_packed_row_equals_its_documents_alone(config: PreTrainedConfig, backend: str) -> None:
    half = backend.startswith("flash")
    model = build(config).to(torch.bfloat16 if half else torch.float32)
    ids = torch.randint(3, 128, (1, sum(LENGTHS)), generator=torch.Generator().manual_seed(1))
    alone = []
    for part, length in zip(ids.split(LENGTHS, dim=1), LENGTHS, strict=True):
        alone.append(logits(model, [length], part))  # by the model's own eager attention
    want = torch.cat(alone, dim=1)
    want.float().square().mean().backward()
    grads = {name: weight.grad for name, weight in model.named_parameters()}
    model.zero_grad()

    tried = candidates(backend, attention_need(config))
    choice = settle_attention(model, tried)
    assert (choice.name, choice.leak) == (backend, None)
    assert model.config._attn_implementation == registered_name(backend)
    got = logits(model, LENGTHS, ids)
    got.float().square().mean().backward()

    tolerance = 0.05 if half else 1e-5
    scale = want.float().abs().max()
    assert (got - want).float().abs().max() <= tolerance * scale
    for name, weight in model.named_parameters():
        if (wanted := grads[name]) is not None and weight.grad is not None:
            size = wanted.float().abs().max().clamp(min=1e-6)
            assert (weight.grad - wanted).float().abs().max() <= 6 * tolerance * size, name


def test_capped_scores_share_rows_by_themselves() -> None:
    model = build(CAPPED)
    choice = settle_attention(model, candidates(None, attention_need(CAPPED)))
    assert (choice.name, choice.leak, choice.reason) == ("per_document", None, "")


@pytest.mark.usefixtures("kernels")
def test_what_the_model_hands_over_in_vain_is_refused_by_name_and_replaced_by_switch() -> None:
    model = build(SINKS)
    need = attention_need(SINKS)
    demanded = candidates("flash_attention_2", need, where="a.yml:4")
    with pytest.raises(ConfigError, match=r"flash_attention_2.*attention sinks") as raised:
        settle_attention(model, demanded)
    assert raised.value.where == "a.yml:4"
    wished = candidates("flash_attention_2", need, demanded=False)
    choice = settle_attention(model, wished)
    assert choice.name == "per_document"
    assert "flash_attention_2: its forward pass fails" in choice.reason
    assert model.config._attn_implementation == "per_document"


def test_a_window_that_only_the_mask_knows_is_left_to_the_mask() -> None:
    config = PhimoeConfig(**SMALL, sliding_window=100, num_local_experts=2, num_experts_per_tok=1)
    model = build(config)
    choice = settle_attention(model, candidates(None, attention_need(config)))
    assert choice.name in ("sdpa", "eager")
    assert "leaves its sliding window of 100 tokens to the mask" in choice.reason


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("backend", ["flash_attention_2", "xformers"])
def test_answers_are_generated_with_a_cache_and_the_kernel_comes_back(backend: str) -> None:
    model: Any = build_llama(seed=5)
    settle_attention(model, candidates(backend, attention_need(model.config)))
    ours = registered_name(backend)
    ids = torch.arange(3, 12)[None]
    with ready_to_generate(model):
        assert model.config._attn_implementation == "sdpa"
        found = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=4, do_sample=False
        )
    assert model.config._attn_implementation == ours
    for length in range(9, 13):
        row = logits(model, [length], found[:, :length])
        assert row[0, -1].argmax() == found[0, length]


def test_facts_of_a_configuration() -> None:
    need = attention_need(LlamaConfig(**SMALL, attention_dropout=0.1))
    assert (need.head_width, need.dropout, need.softcap, need.interface) == (16, True, False, True)
    need = attention_need(CAPPED)
    assert (need.head_width, need.dropout, need.softcap) == (16, False, True)


def test_a_library_attention_that_does_not_fit_is_taken_as_it_is() -> None:
    model = build(WINDOW)
    model.forward = lambda **_: 1 / 0
    choice = settle_attention(model, Candidates(("eager",), demanded=True, where="a.yml:4"))
    assert choice.name == "eager"
    assert choice.leak is not None
