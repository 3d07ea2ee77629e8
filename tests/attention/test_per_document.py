"""A packed row gives each document what the document alone gives: logits and gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    MistralConfig,
    PhiConfig,
    Qwen3Config,
)

from axolotl.attention import Need, candidates
from axolotl.attention.per_document import NotServed, attend, document_lengths, register
from axolotl.errors import ConfigError, UnknownName
from tests.conftest import build_llama

LENGTHS = [5, 11, 1, 17, 7]
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
CONFIGS = {
    "mistral_window": MistralConfig(**SMALL, sliding_window=6),
    "qwen3": Qwen3Config(**SMALL, head_dim=16),
    "phi": PhiConfig(**SMALL),
    "gpt_neox": GPTNeoXConfig(**{k: v for k, v in SMALL.items() if k != "num_key_value_heads"}),
    "gpt2": GPT2Config(vocab_size=128, n_embd=64, n_layer=2, n_head=4, n_positions=128),
    "gemma3": Gemma3TextConfig(**SMALL, head_dim=16, sliding_window=6),
}


def packed(lengths: list[int], vocab: int = 128) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(3, vocab, (1, sum(lengths)), generator=generator)
    positions = torch.cat([torch.arange(n) for n in lengths])[None]
    return ids, positions


def build(name: str) -> Any:
    register()
    if name == "llama":
        return build_llama(vocab=128, attn_implementation="per_document")
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(
        CONFIGS[name], attn_implementation="per_document"
    ).eval()


def gradients(model: Any) -> dict[str, torch.Tensor]:
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("name", ["llama", *CONFIGS])
def test_packed_row_equals_documents_alone(name: str, lora: bool) -> None:
    model = build(name)
    if lora:
        from peft import LoraConfig, get_peft_model

        model = get_peft_model(
            model,
            LoraConfig(
                r=4,
                target_modules="all-linear",
                init_lora_weights=False,
                task_type="CAUSAL_LM",
                fan_in_fan_out=name == "gpt2",
            ),
        )
    ids, positions = packed(LENGTHS)
    weights = torch.randn(1, sum(LENGTHS), 128, generator=torch.Generator().manual_seed(2))

    together = model(input_ids=ids, position_ids=positions, use_cache=False).logits
    (together * weights).sum().backward()
    together_grads = gradients(model)

    start = 0
    for length in LENGTHS:
        part = slice(start, start + length)
        # Alone, by the library's own attention: the reference shares no code with ours.
        model.set_attn_implementation("eager")
        alone = model(input_ids=ids[:, part], use_cache=False).logits
        (alone * weights[:, part]).sum().backward()
        assert (alone - together[:, part]).abs().max() <= 1e-5
        start += length
    alone_grads = gradients(model)

    assert alone_grads.keys() == together_grads.keys()
    assert len(alone_grads) > 0
    for key, want in alone_grads.items():
        assert torch.allclose(
            together_grads[key], want, atol=1e-5 * max(1.0, want.abs().max().item())
        )


def test_changing_one_document_leaves_the_others_alone() -> None:
    model = build("llama")
    ids, positions = packed(LENGTHS)
    with torch.no_grad():
        before = model(input_ids=ids, position_ids=positions, use_cache=False).logits
        changed = ids.clone()
        changed[0, 5:16] = 7
        after = model(input_ids=changed, position_ids=positions, use_cache=False).logits
    assert torch.equal(before[:, :5], after[:, :5])
    assert torch.equal(before[:, 16:], after[:, 16:])
    assert not torch.allclose(before[:, 5:16], after[:, 5:16])


def test_gradient_checkpointing_gives_the_same_gradients() -> None:
    model = build("llama").train()
    ids, positions = packed(LENGTHS)
    model(input_ids=ids, position_ids=positions, use_cache=False).logits.square().sum().backward()
    plain = gradients(model)
    model.activation_checkpointing_enable({"use_reentrant": False})
    model(input_ids=ids, position_ids=positions, use_cache=False).logits.square().sum().backward()
    for key, value in gradients(model).items():
        assert torch.equal(plain[key], value)


def test_document_borders() -> None:
    assert document_lengths(torch.tensor([[0, 1, 0, 0, 1, 2]]), 6) == [2, 1, 3]
    assert document_lengths(torch.tensor([[3, 4, 0]]), 3) == [2, 1]


def test_a_mask_or_a_cache_is_refused() -> None:
    q = torch.zeros(1, 2, 4, 8)
    with pytest.raises(ValueError, match="without mask and cache"):
        attend(torch.nn.Module(), q, q, q, torch.ones(1, 1, 4, 4))
    with pytest.raises(ValueError, match="without mask and cache"):
        attend(torch.nn.Module(), q[:, :, :1], q, q, None)


def test_what_it_does_not_compute_is_refused_and_not_dropped() -> None:
    q, positions = torch.ones(1, 2, 4, 8), torch.arange(4)[None]
    layer = torch.nn.Module()
    with pytest.raises(NotServed, match="where documents begin"):
        attend(layer, q, q, q, None)
    unknown = {"position_bias": torch.zeros(1, 2, 4, 4), "indices": torch.zeros(1, 4, 2)}
    for name, value in unknown.items():
        with pytest.raises(NotServed, match=f"hands '{name}' to its attention"):
            attend(layer, q, q, q, None, position_ids=positions, **{name: value})
    with pytest.raises(NotServed, match="look ahead"):
        attend(layer, q, q, q, None, position_ids=positions, is_causal=False)
    harmless = {"use_cache": False, "softcap": None, "cache_position": torch.arange(4)}
    output, _ = attend(layer, q, q, q, None, position_ids=positions, **harmless)
    assert output.shape == (1, 4, 2, 8)


def test_what_may_be_tried_and_a_wrong_wish_refused() -> None:
    llama = Need("llama", interface=True, sdpa=True)
    falcon = Need("falcon", interface=False, sdpa=True)
    assert candidates(None, llama).names == ("per_document", "sdpa", "eager")
    assert candidates("sdpa", llama).names == ("sdpa",)
    tried = candidates(None, falcon)
    assert tried.names == ("sdpa", "eager")
    assert "does not call registered attention functions" in tried.reasons[0]
    with pytest.raises(ConfigError, match="falcon does not call registered"):
        candidates("per_document", falcon)
    with pytest.raises(ConfigError, match="caps its attention scores"):
        candidates("sdpa", Need("gemma2", interface=True, sdpa=True, softcap=True))
    with pytest.raises(ConfigError, match="cuts its rows into chunks"):
        candidates("per_document", Need("llama4_text", interface=True, sdpa=True, chunked=True))
    with pytest.raises(UnknownName, match="did you mean 'per_document'"):
        candidates("per_documents", llama)
