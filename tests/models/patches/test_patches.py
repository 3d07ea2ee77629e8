"""Each patch is still needed, does what it says, and is gone when it is undone."""

from __future__ import annotations

import copy
import gc
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers.models.falcon import modeling_falcon

from axolotl.attention import candidates
from axolotl.errors import ConfigError
from axolotl.models.backend import attention_need, settle_attention
from axolotl.models.isolation import row_arguments, why_not_isolated
from axolotl.models.patches import keep_documents_apart
from axolotl.models.patches.falcon import why_not_served
from axolotl.models.tiny import tiny_model

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "falcon": ("falcon", {}),
    "falcon-alibi": ("falcon", {"alibi": True, "multi_query": False}),
    "mpt": ("mpt", {}),
    "bloom": ("bloom", {}),
    "xglm": ("xglm", {}),
    "biogpt": ("biogpt", {}),
}
BIASED = ("falcon-alibi", "mpt", "bloom")


def build(name: str, **changes: Any) -> Any:
    model_type, own = KINDS[name]
    return tiny_model(model_type, changes={**own, **changes})


def row(*lengths: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(10, 500, (1, sum(lengths)), generator=generator)
    return ids, torch.cat([torch.arange(n) for n in lengths])[None]


def logits(model: Any, ids: Tensor, positions: Tensor) -> Tensor:
    with torch.no_grad():
        return model(**row_arguments(model, ids, positions)).logits[0]


@pytest.mark.parametrize("name", KINDS)
def test_the_library_still_lets_documents_see_each_other(name: str) -> None:
    """Where this fails, the library has mended it, and the patch can go."""
    model = build(name)
    assert "see each other" in str(why_not_isolated(model))
    with keep_documents_apart(model):
        assert why_not_isolated(model) is None


@pytest.mark.parametrize("name", KINDS)
def test_undone_the_model_is_the_librarys(name: str) -> None:
    model = build(name)
    before = set(vars(model.base_model)), modeling_falcon.build_alibi_tensor
    ids, positions = row(4, 9)
    want = logits(model, ids, positions)
    with keep_documents_apart(model):
        assert not torch.equal(logits(model, ids, positions), want)
    assert torch.equal(logits(model, ids, positions), want)
    assert (set(vars(model.base_model)), modeling_falcon.build_alibi_tensor) == before
    assert not model._forward_pre_hooks
    assert not model._forward_hooks


@pytest.mark.parametrize("name", KINDS)
def test_other_calls_are_the_librarys(name: str) -> None:
    """With a mask or a cache nothing is changed: answers are generated as ever."""
    model, other = build(name), build(name)
    ids, positions = row(9)
    asked: dict[str, Any] = {"max_new_tokens": 5, "do_sample": False, "pad_token_id": 0}
    masked = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    with torch.no_grad(), keep_documents_apart(model):
        assert torch.equal(logits(model, ids, positions), logits(other, ids, positions))
        assert torch.equal(model(**masked).logits, other(**masked).logits)
        for use_cache in (True, False):
            got = model.generate(**masked, **asked, use_cache=use_cache)
            assert torch.equal(got, other.generate(**masked, **asked, use_cache=use_cache))
        # A patched model beside it does not change the one that is not.
        assert "see each other" in str(why_not_isolated(other))


@pytest.mark.parametrize("name", BIASED)
def test_a_document_far_down_a_row_is_the_one_alone_in_bfloat16(name: str) -> None:
    model = build(name).to(torch.bfloat16)
    ids, positions = row(1030, 300)
    alone = logits(model, ids[:, 1030:], positions[:, 1030:])
    with keep_documents_apart(model):
        packed = logits(model, ids, positions)[1030:]
    assert (packed - alone).abs().max() <= 0.02 * alone.abs().max()


def test_biases_that_count_over_the_row_would_be_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Why the bias is counted anew: the mask alone is not enough."""
    from axolotl.models.patches import bloom

    monkeypatch.setattr(bloom, "positions_in", lambda mask: torch.arange(mask.shape[-1])[None])
    model = build("bloom").to(torch.bfloat16)
    ids, positions = row(1030, 300)
    alone = logits(model, ids[:, 1030:], positions[:, 1030:])
    with keep_documents_apart(model):
        packed = logits(model, ids, positions)[1030:]
    assert (packed - alone).abs().max() > 0.05 * alone.abs().max()


def test_a_row_of_mpt_may_be_longer_than_its_longest_sequence() -> None:
    model = build("mpt", max_seq_len=32)
    ids, positions = row(20, 32, 10)
    with pytest.raises(RuntimeError, match="size of tensor"):
        logits(model, ids, positions)
    with keep_documents_apart(model):
        packed = logits(model, ids, positions)
    alone = [
        logits(model, i, p)
        for i, p in zip(ids.split((20, 32, 10), 1), positions.split((20, 32, 10), 1), strict=True)
    ]
    assert torch.allclose(packed, torch.cat(alone), atol=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_a_copy_keeps_it_and_stands_for_itself(name: str) -> None:
    model = build(name)
    with keep_documents_apart(model):
        copies = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    assert why_not_isolated(model) is not None
    for one in copies:
        assert why_not_isolated(one) is None


def test_two_models_share_what_is_replaced_in_a_module() -> None:
    gc.collect()  # copies of other tests are gone
    first, second = build("falcon-alibi"), build("falcon-alibi")
    one, two = keep_documents_apart(first), keep_documents_apart(second)
    one.close()
    assert why_not_isolated(second) is None
    assert modeling_falcon.build_alibi_tensor.__module__ != modeling_falcon.__name__
    two.close()
    assert modeling_falcon.build_alibi_tensor.__module__ == modeling_falcon.__name__


@pytest.mark.parametrize("name", ["falcon", "mpt"])
def test_recomputed_activations_give_the_same_gradients(name: str) -> None:
    model = build(name).train()
    ids, positions = row(5, 12, 7)
    found = []
    with keep_documents_apart(model):
        for checkpointing in (False, True):
            if checkpointing:
                model.activation_checkpointing_enable()
            model.zero_grad()
            model(**row_arguments(model, ids, positions)).logits.square().sum().backward()
            found.append([p.grad.clone() for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_a_failed_call_leaves_nothing_behind() -> None:
    model = build("mpt")
    ids, positions = row(4, 5)
    with keep_documents_apart(model):
        with pytest.raises(IndexError):
            logits(model, ids + 10_000, positions)
        assert model.base_model.build_mpt_alibi_tensor.positions is None


def test_eager_falcon_with_alibi_adds_it_twice() -> None:
    """Where this fails, the library has mended it, and `why_not_served` can go."""
    model = build("falcon-alibi")
    ids, positions = row(24)
    model.config._attn_implementation = "sdpa"
    once = logits(model, ids, positions)
    model.config._attn_implementation = "eager"
    assert (logits(model, ids, positions) - once).abs().max() > 0.01
    attention = model.transformer.h[0].self_attention
    hidden = torch.randn(1, 6, 64, generator=torch.Generator().manual_seed(0))
    fused = attention.query_key_value(hidden)
    query, key, value = (part.transpose(1, 2) for part in attention._split_heads(fused))
    slopes = torch.tensor([2.0**-2, 2.0**-4, 2.0**-6, 2.0**-8])[:, None, None]
    place = torch.arange(6)
    scores = query @ key.transpose(-1, -2) - slopes * (place[:, None] - place)
    scores = (scores / 4).masked_fill(place[None, :] > place[:, None], -torch.inf)
    want = attention.dense((scores.softmax(-1) @ value).transpose(1, 2).reshape(1, 6, 64))
    seen: dict[str, Tensor] = {}
    catch = attention.register_forward_pre_hook(
        lambda _, args, kwargs: ((hidden, *args[1:]), kwargs), with_kwargs=True
    )
    keep = attention.register_forward_hook(lambda *call: seen.update(out=call[-1][0]))
    for name, right in (("sdpa", True), ("eager", False)):
        model.config._attn_implementation = name
        logits(model, *row(6))
        assert torch.allclose(seen["out"], want, atol=1e-4) is right
    catch.remove()
    keep.remove()
    assert "twice" in str(why_not_served(model.config, "eager"))
    assert why_not_served(model.config, "sdpa") is None


def test_eager_falcon_with_alibi_is_refused() -> None:
    model = build("falcon-alibi")
    model.config._attn_implementation = "eager"
    tried = candidates("eager", attention_need(model.config))
    with pytest.raises(ConfigError, match="adds Falcon's ALiBi twice"):
        settle_attention(model, tried)
