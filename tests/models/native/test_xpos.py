"""xPos positions against their formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, DynamicCache, GenerationConfig
from transformers.models.gpt2 import GPT2Config, GPT2LMHeadModel

from axolotl.attention import candidates
from axolotl.errors import ModelError
from axolotl.models.backend import attention_need
from axolotl.models.isolation import why_not_isolated, why_not_served
from axolotl.models.native.settle import read_as_trained
from axolotl.models.native.xpos import remove_xpos, scale_base_of, scales, settle_xpos, zeta
from tests.conftest import build_llama

BASE = 20.0
"""So small that a few tokens of distance are felt."""


def with_xpos(base: float | None = BASE) -> Any:
    model = build_llama()
    settle_xpos(model, base)
    return model


def ids_of(tokens: int, seed: int = 0) -> Tensor:
    return torch.randint(8, 500, (1, tokens), generator=torch.Generator().manual_seed(seed))


def by_formula(x: Tensor, length: int, base: float, sign: int) -> Tensor:
    """Rotated and scaled, pair by pair and position by position: x of (T, d)."""
    tokens, d = x.shape
    rows: list[Tensor] = []
    for t in range(tokens):
        power = (t - length // 2) / base
        row = [x.new_zeros(())] * d
        for i in range(d // 2):
            angle = torch.tensor(t * 10_000 ** (-2 * i / d), dtype=x.dtype)
            factor = ((2 * i + 0.4 * d) / (1.4 * d)) ** (sign * power)
            a, b = x[t, i], x[t, i + d // 2]
            row[i] = (a * angle.cos() - b * angle.sin()) * factor
            row[i + d // 2] = (b * angle.cos() + a * angle.sin()) * factor
        rows.append(torch.stack(row))
    return torch.stack(rows)


@torch.no_grad()
def test_a_layer_computes_the_formulas(monkeypatch: pytest.MonkeyPatch) -> None:
    model = with_xpos()
    layer = model.model.layers[0]
    model.set_attn_implementation("eager")
    ids = ids_of(12)
    hidden = layer.input_layernorm(model.model.embed_tokens(ids))
    query, key, value = (
        part(hidden)[0].view(12, -1, 16).transpose(0, 1)
        for part in (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj)
    )
    outputs: list[Tensor] = []
    for h in range(4):
        scores = (
            by_formula(query[h], 2048, BASE, 1) @ by_formula(key[h // 2], 2048, BASE, -1).T
        ) / 4
        mask = torch.ones(12, 12, dtype=torch.bool).triu(1)
        outputs.append(scores.masked_fill(mask, -torch.inf).softmax(-1) @ value[h // 2])
    wanted = layer.self_attn.o_proj(torch.stack(outputs, dim=1).flatten(1))
    found: list[Tensor] = []
    layer.self_attn.register_forward_hook(lambda _, __, output: found.append(output[0][0]))
    model(ids)
    torch.testing.assert_close(found[0], wanted, rtol=1e-4, atol=1e-6)


def test_zeta_and_the_scales_are_those_of_the_paper() -> None:
    torch.testing.assert_close(zeta(8), (torch.tensor([0.0, 2, 4, 6]) + 3.2) / 11.2)
    of_query, of_key = scales(torch.tensor([[3, 10]]), 8, scale_base=5, centre=3)
    torch.testing.assert_close(of_query * of_key, torch.ones(1, 2, 8))
    torch.testing.assert_close(of_query[0, 1], zeta(8).repeat(2) ** (7 / 5))
    assert of_query.dtype == torch.float32
    torch.testing.assert_close(of_query[0, 0], torch.ones(8))


@torch.no_grad()
@pytest.mark.parametrize("attention", ["eager", "sdpa", "per_document"])
def test_every_attention_gives_the_same(attention: str) -> None:
    model, ids = with_xpos(), ids_of(40)
    wanted = model(ids).logits
    candidates(None, attention_need(model.config))
    model.set_attn_implementation(attention)
    positions = torch.arange(40)[None]
    found = model(ids, position_ids=positions, use_cache=False).logits
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert why_not_served(model) is None
    assert why_not_isolated(model) is None


@torch.no_grad()
def test_only_distance_counts() -> None:
    model, ids = with_xpos(), ids_of(30)
    wanted = model(ids).logits
    moved = model(ids, position_ids=torch.arange(30)[None] + 100).logits
    torch.testing.assert_close(moved, wanted, rtol=1e-4, atol=1e-5)
    assert (build_llama()(ids).logits - wanted).abs().max() > 1e-4


@torch.no_grad()
def test_without_fading_it_is_plain_rotary_and_it_can_be_taken_away_again() -> None:
    ids, plain = ids_of(30), build_llama()
    wanted = plain(ids).logits
    settle_xpos(plain, 1e12)
    torch.testing.assert_close(plain(ids).logits, wanted)
    settle_xpos(plain, BASE)
    assert (plain(ids).logits - wanted).abs().max() > 1e-4
    remove_xpos(plain)
    assert torch.equal(plain(ids).logits, wanted)
    assert scale_base_of(plain.config) is None


@torch.no_grad()
def test_packed_samples_are_as_alone() -> None:
    model = with_xpos()
    first, second = ids_of(21, 1), ids_of(14, 2)
    positions = torch.cat([torch.arange(21), torch.arange(14)])[None]
    row = torch.cat([first, second], dim=1)
    together = model(row, position_ids=positions, use_cache=False).logits
    torch.testing.assert_close(together[:, :21], model(first).logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together[:, 21:], model(second).logits, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_with_a_cache_it_is_as_without() -> None:
    model, ids = with_xpos(), ids_of(40)
    cache = DynamicCache(config=model.config)
    parts = [model(ids[:, :25], past_key_values=cache, use_cache=True).logits]
    for at in range(25, 40):
        parts.append(model(ids[:, at : at + 1], past_key_values=cache, use_cache=True).logits)
    found = torch.cat(parts, dim=1)
    torch.testing.assert_close(found, model(ids).logits, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_batch_padded_on_the_left_answers_as_each_prompt_alone() -> None:
    model = with_xpos()
    how = GenerationConfig(max_new_tokens=12, do_sample=False, pad_token_id=0)
    short, long = ids_of(5, 3)[0].tolist(), ids_of(17, 4)[0].tolist()
    ids = torch.tensor([[0] * 12 + short, long])
    mask = (ids != 0).long()
    together = model.generate(input_ids=ids, attention_mask=mask, generation_config=how)
    for row, prompt in zip(together, (short, long), strict=True):
        one = torch.tensor([prompt])
        alone = model.generate(
            input_ids=one, attention_mask=torch.ones_like(one), generation_config=how
        )
        assert row[17:].tolist() == alone[0, len(prompt) :].tolist()


def test_gradients_reach_the_weights_also_in_layers_computed_again() -> None:
    def gradients(*, again: bool) -> list[Tensor]:
        model = with_xpos().train()
        if again:
            model.activation_checkpointing_enable({"use_reentrant": False})
        model(ids_of(30), use_cache=False).logits.square().mean().backward()
        return [weight.grad for weight in model.parameters()]

    for found, wanted in zip(gradients(again=True), gradients(again=False), strict=True):
        torch.testing.assert_close(found, wanted)


@torch.no_grad()
def test_bfloat16_keeps_its_positions_in_fp32() -> None:
    ids = ids_of(200)
    wanted = with_xpos()(ids).logits
    found = with_xpos().bfloat16()(ids).logits
    assert found.dtype == torch.bfloat16
    assert (found.float() - wanted).abs().max() < 0.05 * wanted.abs().max()


@torch.no_grad()
def test_the_configuration_remembers(tmp_path: Any) -> None:
    model, ids = with_xpos(), ids_of(30)
    model.save_pretrained(tmp_path)
    assert scale_base_of(AutoConfig.from_pretrained(tmp_path)) == BASE
    again = type(model).from_pretrained(tmp_path).eval()
    assert (again(ids).logits - model(ids).logits).abs().max() > 1e-4
    read_as_trained(again)
    assert torch.equal(again(ids).logits, model(ids).logits)


@torch.no_grad()
@pytest.mark.parametrize(
    ("dtype", "longest"), [(torch.float16, 30_000), (torch.bfloat16, 131_072), (None, 131_072)]
)
def test_what_a_number_format_does_not_bear_is_refused(
    dtype: torch.dtype | None, longest: int
) -> None:
    model = build_llama(max_position_embeddings=2**20).to(dtype or torch.float32)
    settle_xpos(model, sequence_len=longest)
    ids = ids_of(40)
    ends = [torch.arange(40)[None] + begin for begin in (0, longest - 40)]
    first, last = (model(ids, position_ids=places).logits.float() for places in ends)
    assert first.isfinite().all()
    room = 1e-3 if dtype is None else 0.05
    assert (last - first).abs().max() < room * first.abs().max()
    name = "float16" if dtype == torch.float16 else "bfloat16" if dtype else "float32"
    with pytest.raises(ModelError, match=rf"has factors beyond .* that {name} bears"):
        model(ids, position_ids=ends[0] + 2 * longest)
    with pytest.raises(ModelError, match=r"xPos over 1048576 tokens has") as caught:
        settle_xpos(model, sequence_len=2**20)
    assert caught.value.where == "sequence_len"
    most = int(str(caught.value.hint).split("at most ")[1].split(",")[0])
    assert longest <= most < 1.1 * longest
    settle_xpos(model, sequence_len=most)


def test_the_centre_is_remembered_and_models_without_one_keep_theirs() -> None:
    model = build_llama()
    settle_xpos(model, sequence_len=100)
    assert model.config.xpos_rope == {"scale_base": 2048.0, "centre": 50}
    settle_xpos(model)
    assert model.config.xpos_rope["centre"] == 50
    del model.config.xpos_rope["centre"]
    settle_xpos(model)
    assert model.config.xpos_rope["centre"] == model.config.max_position_embeddings // 2
    model.config.xpos_rope["centre"] = "middle"
    with pytest.raises(ModelError, match="which is no position"):
        settle_xpos(model)


def test_another_model_and_a_damaged_configuration_are_refused() -> None:
    other = GPT2LMHeadModel(GPT2Config(n_embd=8, n_head=2, n_layer=1, vocab_size=9))
    with pytest.raises(ModelError, match="xPos is for Llama models, and this is a GPT2"):
        settle_xpos(other)
    config = build_llama().config
    config.xpos_rope = {"scale": 3}
    with pytest.raises(ModelError, match="names no scale_base"):
        scale_base_of(config)
