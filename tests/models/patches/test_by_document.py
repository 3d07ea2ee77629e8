"""Attention layers that know only masks are given the documents of a row one after another."""

from __future__ import annotations

import copy
import pickle
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from axolotl.attention import candidates
from axolotl.models.backend import attention_need, settle_attention
from axolotl.models.isolation import row_arguments
from axolotl.models.patches.by_document import (
    attend_by_document,
    attention_layers,
    diagonal_blocks,
    split_all,
)
from axolotl.models.tiny import tiny_model

MASKED = (
    *("mpt", "gptj", "bloom", "falcon", "codegen", "gpt_neo", "xglm"),
    *("biogpt", "stablelm", "persimmon", "gpt_bigcode"),
)
LENGTHS = [4, 9, 6]


def settled(model_type: str) -> Any:
    model = tiny_model(model_type)
    choice = settle_attention(model, candidates(None, attention_need(model.config)))
    assert choice.one_by_one
    assert str(choice) == f"{choice.name}, one document at a time"
    return model


def row(lengths: list[int] = LENGTHS) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(10, 500, (1, sum(lengths)), generator=generator)
    return ids, torch.cat([torch.arange(n) for n in lengths])[None]


def note_tokens(lengths: list[int], _: nn.Module, args: tuple[Tensor, ...]) -> None:
    lengths.append(args[0].shape[1])


def seen_by(model: Any, call: Any) -> list[list[int]]:
    """Tokens of each call of the first linear layer of every attention layer."""
    found: list[list[int]] = []
    handles = []
    for layer in attention_layers(model):
        inner = next(p for p in layer.modules() if isinstance(p, nn.Linear) or "Conv1D" in repr(p))
        found.append([])
        handles.append(inner.register_forward_pre_hook(partial(note_tokens, found[-1])))
    call()
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("model_type", MASKED)
def test_every_layer_sees_one_document_at_a_time(model_type: str) -> None:
    model = settled(model_type)
    inputs = row_arguments(model, *row())
    assert seen_by(model, lambda: model(**inputs)) == [LENGTHS] * len(attention_layers(model))
    assert len(attention_layers(model)) == 2


@pytest.mark.parametrize("model_type", ["mpt", "gptj", "falcon"])
def test_other_calls_are_left_as_they_are(model_type: str) -> None:
    model = settled(model_type)
    ids, positions = row()
    calls: list[dict[str, Any]] = [
        {"input_ids": ids, "use_cache": True},
        {"input_ids": ids, "attention_mask": torch.ones_like(ids), "use_cache": False},
        {"input_ids": ids.repeat(2, 1), "use_cache": False},
        row_arguments(model, ids, torch.arange(ids.shape[1])[None]),
    ]
    for call in calls:
        lengths = seen_by(model, lambda call=call: model(**call))
        assert lengths == [[ids.shape[1]]] * len(lengths)
    want = model(**row_arguments(model, ids, positions)).logits
    with torch.no_grad():
        whole = [model(**call).logits[0] for call in calls[:3]]
    assert all(torch.allclose(one, whole[0], atol=1e-5) for one in whole)
    assert not torch.allclose(want[0], whole[0], atol=1e-3)


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("model_type", ["gptj", "mpt"])
def test_gradients_are_the_same_with_checkpointing(model_type: str, reentrant: bool) -> None:
    model = settled(model_type).train()
    ids, positions = row()
    inputs = row_arguments(model, ids, positions)

    def gradients() -> list[Tensor]:
        model.zero_grad()
        model(**inputs).logits.float().logsumexp(-1).sum().backward()
        return [p.grad.clone() for p in model.parameters() if p.grad is not None]

    want = gradients()
    model.activation_checkpointing_enable({"use_reentrant": reentrant})
    model.get_input_embeddings().register_forward_hook(lambda *args: args[-1].requires_grad_(True))
    got = gradients()
    assert len(got) == len(want) > 10
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(got, want, strict=True))


def test_a_copy_and_a_pickled_one_do_the_same() -> None:
    model = settled("gptj")
    inputs = row_arguments(model, *row())
    want = model(**inputs).logits
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        for weight in model.parameters():
            weight.data.add_(0.1)  # the other has weights of its own
        assert torch.equal(other(**inputs).logits, want)
        assert set(map(len, seen_by(other, lambda other=other: other(**inputs)))) == {3}
        for weight, old in zip(model.parameters(), other.parameters(), strict=True):
            weight.data.copy_(old)


def test_undone_the_layers_are_the_librarys() -> None:
    model = tiny_model("gptj")
    with attend_by_document(model):
        assert all("forward" in vars(layer) for layer in attention_layers(model))
        assert not split_all(model)  # until a row was seen
        model(**row_arguments(model, *row()))
        assert split_all(model)
    assert all("forward" not in vars(layer) for layer in attention_layers(model))


def test_an_argument_that_is_not_known_leaves_the_row_whole() -> None:
    class OddAttention(nn.Module):
        def forward(
            self, hidden_states: Tensor, attention_mask: Tensor, relative: Tensor
        ) -> Tensor:
            assert hidden_states.shape[1] == relative.shape[0]
            return hidden_states

    model = nn.Sequential(OddAttention())
    mask = torch.block_diag(torch.ones(2, 2).tril(), torch.ones(3, 3).tril()).bool()[None, None]
    with attend_by_document(model):
        hidden = torch.randn(1, 5, 4)
        out = model[0](hidden, attention_mask=mask, relative=torch.zeros(5))
        assert torch.equal(out, hidden)
        assert not split_all(model)


def test_blocks_of_a_mask() -> None:
    blocks = torch.block_diag(*(torch.ones(n, n).tril() for n in (3, 1, 4))).bool()[None, None]
    assert diagonal_blocks(blocks) == [3, 1, 4]
    assert diagonal_blocks(~blocks) == [3, 1, 4]
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        lowest = torch.finfo(dtype).min
        added = torch.zeros_like(blocks, dtype=dtype).masked_fill(~blocks, lowest)
        assert diagonal_blocks(added) == [3, 1, 4]
        assert diagonal_blocks(added.expand(1, 2, 8, 8) - 3.0) == [3, 1, 4]
    assert diagonal_blocks(torch.ones(1, 1, 4, 4).tril().bool()) is None


def test_a_mask_that_is_not_all_blocks_leaves_the_row_whole() -> None:
    """A token that skips the one before it, and sees others further back."""
    mask = torch.ones(6, 6).tril().bool()
    mask[3, 2] = False
    assert diagonal_blocks(mask[None, None]) is None
    window = (torch.ones(6, 6).tril() - torch.ones(6, 6).tril(-2)).bool()
    window[3, 2] = False
    assert diagonal_blocks(window[None, None]) == [3, 3]
