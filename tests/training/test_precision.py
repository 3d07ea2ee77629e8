"""Number formats: every combination of the options on every kind of machine."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import nn

from axolotl.config import load_config
from axolotl.resolve import examine
from axolotl.resolve.machine import Machine
from axolotl.training.precision import Formats, formats, weights_in
from tests.conftest import build_llama

B, H, F = torch.bfloat16, torch.float16, torch.float32
CPU = Machine(gpu=False, bf16=False)
OLD_GPU = Machine(gpu=True, bf16=False)
GPU = Machine(gpu=True, bf16=True)
SMALL: dict[str, Any] = {"base_model": "m", "datasets": [{"path": "d.jsonl", "type": "alpaca"}]}
LORA = {"adapter": "lora", "lora_target_linear": True}
HELD: dict[str, tuple[dict[str, bool], torch.dtype | None]] = {
    "as computed": ({}, F),
    "bfloat16": ({"bfloat16": True}, B),
    "float16": ({"float16": True}, H),
    "both": ({"bfloat16": True, "float16": True}, None),
}
"""How weights are held, and in what; None is refused."""
COMPUTED: dict[tuple[Any, bool], tuple[Any, Any, Any]] = {
    # bf16, fp16: autocast and evaluation on a CPU, an old GPU, one with bfloat16
    (False, False): ((None, None), (None, None), (None, None)),
    (True, False): ((B, None), None, (B, None)),
    ("auto", False): ((None, None), (None, None), (B, None)),
    ("full", False): ((None, B), None, (None, B)),
    (False, True): (None, (H, None), (H, None)),
    (True, True): ((B, None), None, (B, None)),
    ("auto", True): (None, (H, None), (B, None)),
    ("full", True): (None, None, (H, B)),
}
CASES = [
    (machine, computed, held, adapter)
    for machine, computed, held, adapter in itertools.product(
        range(3), COMPUTED, HELD, (False, True)
    )
]


@pytest.mark.parametrize(("machine", "computed", "held", "adapter"), CASES)
def test_what_a_combination_computes_in_or_that_it_is_refused(
    machine: int, computed: tuple[Any, bool], held: str, adapter: bool
) -> None:
    bf16, fp16 = computed
    options, weights = HELD[held]
    at = (CPU, OLD_GPU, GPU)[machine]
    config = load_config(SMALL | {"bf16": bf16, "fp16": fp16} | options | (LORA if adapter else {}))
    resolved = examine(config, purpose="train", machine=at)
    expected = COMPUTED[computed][machine]
    scaled = expected is not None and expected[0] == H and weights != F and not adapter
    lacks_it = held == "bfloat16" and at is OLD_GPU
    mixed = weights == H and expected is not None and B in expected
    if mixed or expected is None or weights is None or scaled or lacks_it:
        assert resolved.errors
        return
    assert not resolved.errors
    assert formats(resolved.precision, gpu=at.gpu) == Formats(weights, *expected)


class TestWeightsIn:
    def test_the_model_computes_with_converted_weights_for_the_time(self) -> None:
        model: Any = build_llama()
        ids = torch.arange(8)[None]
        weights = dict(model.named_parameters())
        values = {name: weight.clone() for name, weight in weights.items()}
        want = build_llama().to(B)(ids).logits
        with torch.no_grad():
            plain = model(ids).logits
            with weights_in(model, B):
                got = model(ids).logits
                assert all(weight.dtype == B for weight in model.parameters())
                assert model.lm_head.weight is model.model.embed_tokens.weight
        assert got.dtype == B
        assert torch.allclose(got.float(), want.float(), atol=1e-2)
        assert not torch.equal(got.float(), plain)
        assert all(weights[name] is weight for name, weight in model.named_parameters())
        assert all(torch.equal(weight, values[name]) for name, weight in weights.items())
        assert torch.equal(model(ids).logits, plain)

    def test_gradients_and_what_is_not_a_plain_weight_are_left_alone(self) -> None:
        class Quantised(nn.Parameter):
            pass

        model: Any = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        model[1].weight = Quantised(model[1].weight.data)
        model(torch.ones(3)).sum().backward()
        gradient = model[0].weight.grad
        with weights_in(model, B):
            assert model[0].weight.dtype == B
            assert model[1].weight.dtype == F
        assert model[0].weight.grad is gradient

    def test_an_error_in_the_body_puts_the_weights_back(self) -> None:
        model = nn.Linear(2, 2)
        with pytest.raises(ValueError, match="broken"), weights_in(model, B):
            raise ValueError("broken")
        assert model.weight.dtype == F

    def test_nothing_is_converted_where_nothing_is_asked(self) -> None:
        model = nn.Linear(2, 2)
        weight = model.weight
        with weights_in(model, None):
            assert model.weight is weight
