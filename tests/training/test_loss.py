"""The loss of every architecture is that of its plain logits, and so are the gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from bitsandbytes.nn.modules import Int8Params, Linear4bit, Linear8bitLt, Params4bit
from torch import Tensor, nn

from axolotl.architectures import families
from axolotl.config.adapter import AdapterSection
from axolotl.models import loss_head
from axolotl.models.adapters import attach_new
from axolotl.models.isolation import row_arguments
from axolotl.models.tiny import tiny_config, tiny_model
from axolotl.training.loss import RowLoss

VOCABULARY = 512
TYPES = sorted({name for family in families().values() for name in family.model_types})
MORE = ["cohere", "cohere2", "granite", "falcon_h1", "nanochat", "olmo2", "bloom", "opt", "gpt_neo"]
"""Models of no family here, among them those that scale or cap their logits."""
ALL = sorted({*TYPES, *MORE})
Row = dict[str, Tensor]


def row() -> Row:
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(3, VOCABULARY, (1, 30), generator=generator)
    labels = ids.clone()
    labels[0, :6] = -100
    labels[0, 20:24] = -100
    return {"input_ids": ids, "labels": labels, "position_ids": torch.arange(30)[None]}


def plain_loss(model: Any, inputs: Row) -> Tensor:
    arguments = row_arguments(model, inputs["input_ids"], inputs["position_ids"])
    logits = model(**arguments).logits[0, :-1].float()
    return nn.functional.cross_entropy(logits, inputs["labels"][0, 1:], reduction="sum")


def found_by(model: Any, loss: Callable[[], Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss and the gradients of one way."""
    model.zero_grad(set_to_none=True)
    value = loss()
    (value / 20).backward()
    grads = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return value.detach(), grads


def assert_same(model: Any, *, relative: float = 1e-6) -> None:
    """Ours against the plain loss, with several logits at a time and with few."""
    inputs = row()
    row_loss = RowLoss(model)
    assert row_loss.why_not_fused is None
    want, wanted = found_by(model, lambda: plain_loss(model, inputs))
    got, grads = found_by(model, lambda: row_loss(model, inputs))
    assert got.dtype == torch.float32
    assert abs(float(got - want)) <= relative * float(want)
    assert wanted
    assert grads.keys() == wanted.keys()
    largest = max(float(g.abs().max()) for g in wanted.values())
    for name, gradient in wanted.items():
        # Chunks are summed in another order, which rounds otherwise on each kind of CPU.
        assert float((grads[name] - gradient).abs().max()) <= 2 * relative * largest, name
    with torch.no_grad():
        each = row_loss.of_labels(model, inputs)
    assert abs(float(each.sum() - want)) <= relative * float(want)


@pytest.mark.parametrize("model_type", ALL)
def test_loss_and_gradients_are_those_of_the_plain_logits(
    model_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_head, "MAX_LOGITS", 7 * VOCABULARY)
    assert_same(tiny_model(model_type, vocabulary=VOCABULARY))


def test_all_families_are_among_them() -> None:
    assert len(TYPES) >= len(families())


ADAPTERS: dict[str, dict[str, Any]] = {
    "lora on it": {"lora_target_modules": ["lm_head"]},
    "saved as a whole": {"lora_target_linear": True, "lora_modules_to_save": ["lm_head"]},
}


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "apart"])
@pytest.mark.parametrize("model_type", ["llama", "gemma2", "cohere", "gpt2"])
@pytest.mark.parametrize("kind", ADAPTERS)
def test_so_are_those_of_an_adapter_on_the_head(model_type: str, tied: bool, kind: str) -> None:
    config = tiny_config(model_type, vocabulary=VOCABULARY, changes={"tie_word_embeddings": tied})
    options = {"adapter": "lora", "lora_r": 4, **ADAPTERS[kind]}
    model = attach_new(tiny_model(config), AdapterSection.model_validate(options))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.1)
    assert_same(model.eval())


def packed_head(kind: str, head: nn.Linear) -> Any:
    """The head in 8 or 4 bits."""
    if kind == "int8":
        made: Any = Linear8bitLt(
            head.in_features, head.out_features, bias=False, has_fp16_weights=False
        )
        weight: Any = Int8Params
        made.weight = weight(head.weight.data, requires_grad=False, has_fp16_weights=False)
    else:
        made = Linear4bit(head.in_features, head.out_features, bias=False, quant_type=kind)
        weight = Params4bit
        made.weight = weight(head.weight.data, requires_grad=False, quant_type=kind)
        made.support_avx512bf16_for_cpu = False  # as `axolotl.models.bnb` sets it
    return made.to("cpu")


@pytest.mark.parametrize("kind", ["int8", "nf4", "fp4"])
@pytest.mark.parametrize("model_type", ["llama", "gemma2"])
def test_so_are_those_of_a_head_in_few_bits(
    model_type: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(model_type, vocabulary=VOCABULARY, changes={"tie_word_embeddings": False})
    model = tiny_model(config)
    model.set_output_embeddings(packed_head(kind, model.get_output_embeddings()))
    monkeypatch.setattr(loss_head, "MAX_LOGITS", 7 * VOCABULARY)
    assert_same(model)


def test_packed_weights_do_not_make_chunks_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model(tiny_config("llama", vocabulary=VOCABULARY))
    model.set_output_embeddings(packed_head("nf4", model.get_output_embeddings()))
    row_loss = RowLoss(model)
    monkeypatch.setattr(loss_head, "MAX_LOGITS", 10 * VOCABULARY)
    sizes: list[int] = []
    original = nn.functional.cross_entropy

    def watch(logits: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        sizes.append(logits.shape[0])
        return original(logits, *args, **kwargs)

    monkeypatch.setattr(nn.functional, "cross_entropy", watch)
    row_loss(model, row())
    assert sizes == [10, 10]


class Older(nn.Module):
    """A model whose forward takes nothing but tokens and positions, as code from the hub may."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner, self.config = inner, inner.config
        self.get_output_embeddings = inner.get_output_embeddings
        self.get_input_embeddings = inner.get_input_embeddings

    def forward(
        self, input_ids: Tensor, position_ids: Tensor | None = None, use_cache: bool = True
    ) -> Any:
        return self.inner(input_ids=input_ids, position_ids=position_ids, use_cache=use_cache)


@pytest.mark.parametrize("model_type", ["llama", "gemma2", "granite"])
def test_so_are_those_of_a_model_that_keeps_all_logits(model_type: str) -> None:
    assert_same(Older(tiny_model(model_type, vocabulary=VOCABULARY)).eval())


def test_a_model_that_works_on_its_logits_gets_them_all(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Shifted(Older):
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            output = super().forward(*args, **kwargs)
            output.logits = output.logits.roll(1, -1)
            return output

    model = Shifted(tiny_model("llama", vocabulary=VOCABULARY)).eval()
    inputs, row_loss = row(), RowLoss(model)
    assert row_loss.why_not_fused is not None
    assert "full logits are computed" in capsys.readouterr().err
    want, wanted = found_by(model, lambda: plain_loss(model, inputs))
    got, grads = found_by(model, lambda: row_loss(model, inputs))
    assert torch.allclose(got, want, rtol=1e-6)
    assert all(torch.allclose(grads[n], g, atol=1e-6) for n, g in wanted.items())


@pytest.mark.parametrize("model_type", ["llama", "gemma2", "granite"])
def test_in_bfloat16_it_agrees_with_the_plain_loss(model_type: str) -> None:
    model, inputs = tiny_model(model_type, vocabulary=VOCABULARY), row()

    def autocast() -> Any:
        return torch.autocast("cpu", dtype=torch.bfloat16)

    row_loss = RowLoss(model, autocast=autocast)
    assert row_loss.why_not_fused is None
    with autocast():
        want = plain_loss(model, inputs)
    got = row_loss(model, inputs)
    assert torch.allclose(got, want, rtol=1e-3)


def test_the_values_of_single_positions_are_those_of_the_model_itself() -> None:
    config = tiny_config("gemma2", vocabulary=VOCABULARY, changes={"final_logit_softcapping": 0.5})
    model, inputs = tiny_model(config), row()
    places = torch.tensor([3, 8, 21])
    found = RowLoss(model).at(model, inputs, places, lambda logits, _: logits.float()[:, :5])
    with torch.no_grad():
        logits = model(input_ids=inputs["input_ids"], use_cache=False).logits[0]
    assert torch.allclose(found, logits[places][:, :5], rtol=1e-6, atol=1e-6)
    assert float(found.abs().max()) < 0.5
