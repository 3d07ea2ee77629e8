"""The loss inside the head equals the plain loss, in value and gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from axolotl.models import loss_head
from axolotl.models.head_trial import output_head
from axolotl.models.loss_head import fused_loss, labelled_positions
from tests.conftest import build_llama


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(3, 512, (1, 40), generator=generator)
    labels = ids.clone()
    labels[0, :10] = -100
    labels[0, 25:30] = -100
    return ids, labels


def plain_loss(model: Any, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    logits = model(input_ids=ids, use_cache=False).logits[0, :-1].float()
    return torch.nn.functional.cross_entropy(logits, labels[0, 1:], reduction="sum")


def own_loss(model: Any, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    positions, targets = labelled_positions(labels)
    head = output_head(model)
    assert head is not None
    with fused_loss(head, positions, targets) as loss_of:
        return loss_of(model(input_ids=ids, use_cache=False, logits_to_keep=positions).logits)


def build(kind: str) -> Any:
    model = build_llama(tie_word_embeddings=kind != "untied")
    if kind == "lora_on_head":
        config = LoraConfig(
            r=4,
            target_modules=["q_proj", "lm_head"],
            init_lora_weights=False,
            task_type="CAUSAL_LM",
        )
        model = get_peft_model(build_llama(tie_word_embeddings=False), config)
    if kind == "lora":
        config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
        model = get_peft_model(model, config)
    if kind == "saved_head":
        config = LoraConfig(
            r=4, target_modules=["q_proj"], modules_to_save=["lm_head"], init_lora_weights=False
        )
        model = get_peft_model(build_llama(tie_word_embeddings=False), config)
    return model


@pytest.mark.parametrize("kind", ["tied", "untied", "lora", "lora_on_head", "saved_head"])
@pytest.mark.parametrize("max_logits", [1 << 25, 512 * 7, 1])
def test_equals_the_plain_loss(kind: str, max_logits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_head, "MAX_LOGITS", max_logits)
    model = build(kind)
    ids, labels = batch()
    losses, grads = [], []
    for function in (plain_loss, own_loss):
        loss = function(model, ids, labels)
        (loss / 24).backward()
        losses.append(loss.detach())
        grads.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
        model.zero_grad(set_to_none=True)
    assert torch.allclose(losses[0], losses[1], rtol=1e-6)
    assert grads[0].keys() == grads[1].keys()
    assert grads[0]
    for name, want in grads[0].items():
        assert torch.allclose(grads[1][name], want, atol=1e-6, rtol=1e-4), name


def test_the_head_is_itself_again_afterwards() -> None:
    model = build_llama()
    ids, labels = batch()
    before = model(input_ids=ids).logits
    own_loss(model, ids, labels)
    with pytest.raises(RuntimeError, match="stop"), fused_loss(model.lm_head, ids[0], ids[0]):
        raise RuntimeError("stop")
    assert "forward" not in model.lm_head.__dict__
    assert torch.equal(model(input_ids=ids).logits, before)


def test_without_labels_the_loss_is_zero_and_trains_nothing() -> None:
    model = build_llama()
    ids, labels = batch()
    loss = own_loss(model, ids, torch.full_like(labels, -100))
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


def test_bf16_autocast_agrees_with_the_plain_loss() -> None:
    model = build_llama()
    ids, labels = batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        want, got = plain_loss(model, ids, labels), own_loss(model, ids, labels)
    assert got.dtype == torch.float32
    assert torch.allclose(want, got, rtol=1e-4)
    got.backward()
    assert model.lm_head.weight.grad.isfinite().all()


def test_never_holds_all_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_head, "MAX_LOGITS", 512 * 8)
    sizes = []
    model = build_llama()
    original = torch.nn.functional.cross_entropy

    def watch(logits: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        sizes.append(logits.shape[0])
        return original(logits, *args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "cross_entropy", watch)
    own_loss(model, *batch())
    assert max(sizes) <= 8
    assert sum(sizes) == 25


def test_gradients_of_a_half_precision_head_do_not_lose_small_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Many chunks are added up: in bfloat16 alone, what is 256 times smaller than the sum is lost."""
    head = torch.nn.Linear(8, 16, bias=False).bfloat16()
    generator = torch.Generator().manual_seed(0)
    hidden = (torch.rand(1, 4096, 8, generator=generator) + 0.5).bfloat16()
    targets = torch.randint(0, 16, (4096,), generator=generator)
    positions = torch.arange(4096)

    def gradient(chunk: int) -> torch.Tensor:
        monkeypatch.setattr(loss_head, "MAX_LOGITS", 16 * chunk)
        head.zero_grad()
        states = hidden.clone().requires_grad_()
        with fused_loss(head, positions, targets) as loss_of:
            loss_of(head(states)).backward()
        assert head.weight.grad is not None
        return head.weight.grad.float()

    whole, pieces = gradient(4096), gradient(4)
    assert head.weight.grad is not None
    assert head.weight.grad.dtype == torch.bfloat16
    assert ((pieces - whole).norm() / whole.norm()).item() < 0.01
