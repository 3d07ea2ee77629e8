"""A row of several documents is the documents alone: logits and gradients, all weights and LoRA."""

from __future__ import annotations

from typing import Any

import peft
import pytest
import torch
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from axolotl.models.adapters.targets import linear_names
from axolotl.models.isolation import row_arguments
from tests.architectures.models import APART, APART_IDS, LENGTHS, plain, row, settled


def close(got: Tensor, want: Tensor) -> bool:
    return bool((got - want).abs().max() <= 1e-5 * max(1.0, want.abs().max().item()))


def logits_of(model: Any, ids: Tensor, positions: Tensor) -> Tensor:
    return model(**row_arguments(model, ids, positions)).logits[0]


def summed_loss(logits: Tensor, ids: Tensor) -> Tensor:
    return torch.nn.functional.cross_entropy(logits[:-1].float(), ids[1:], reduction="sum")


def gradients(model: Any, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def compare(model: Any, reference: Any) -> None:
    """`model` is given the row, `reference`, the library's own, each document by itself."""
    ids, positions = row()
    documents = ids[0].split(LENGTHS)
    packed = logits_of(model, ids, positions)
    alone = [
        reference(input_ids=document[None], use_cache=False).logits[0] for document in documents
    ]
    assert close(packed, torch.cat(alone))
    pairs = list(zip(documents, packed.split(LENGTHS), alone, strict=True))
    got = gradients(model, torch.stack([summed_loss(new, ids) for ids, new, _ in pairs]).sum())
    want = gradients(reference, torch.stack([summed_loss(old, ids) for ids, _, old in pairs]).sum())
    assert got.keys() == want.keys()
    assert len(got) > 1
    wrong = {name for name in want if not close(got[name], want[name])}
    assert not wrong


@pytest.mark.parametrize(("name", "model_type", "kind"), APART, ids=APART_IDS)
def test_a_row_is_its_documents_alone(name: str, model_type: str, kind: str) -> None:
    model, _ = settled(name, model_type, kind)
    reference = plain(name, model_type, kind)
    if kind == "alibi":  # the library's eager code is the wrong one
        reference.config._attn_implementation = "sdpa"
    compare(model, reference)


# peft speaks so of experts that are one tensor, which are no linear layers.
@pytest.mark.filterwarnings("ignore:The following .*_pattern keys did not match:RuntimeWarning")
@pytest.mark.parametrize(("name", "model_type", "kind"), APART, ids=APART_IDS)
def test_a_row_is_its_documents_alone_with_lora(name: str, model_type: str, kind: str) -> None:
    model, _ = settled(name, model_type, kind)
    reference = plain(name, model_type, kind)
    if kind == "alibi":
        reference.config._attn_implementation = "sdpa"
    pair = []
    for one in (model, reference):
        torch.manual_seed(3)
        lora = peft.LoraConfig(
            r=2,
            lora_alpha=1,
            target_modules=linear_names(one),
            fan_in_fan_out=any(isinstance(part, Conv1D) for part in one.modules()),
            init_lora_weights=False,
            task_type="CAUSAL_LM",
        )
        pair.append(peft.get_peft_model(one, lora))
    compare(*pair)
