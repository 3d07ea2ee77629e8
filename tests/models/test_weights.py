"""Weights are counted as what they stand for, and their bytes as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from axolotl.config.adapter import AdapterSection
from axolotl.models.adapters import attach_new
from axolotl.models.bnb import quantised_layers
from axolotl.models.weights import count_weights
from tests.conftest import build_llama
from tests.models.test_bnb import FORMS, evaluate, load

EMBEDDINGS = 512 * 64
NORMS = 5 * 64
LAYERS = 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128)
BLOCKS = LAYERS // 64
"""Groups of weights with one scale."""


def test_a_whole_model_counts_shared_weights_once() -> None:
    found = count_weights(build_llama(), whole=torch.float32)
    assert found.parameters == found.trainable == EMBEDDINGS + NORMS + LAYERS
    assert (found.frozen_bytes, found.packed, found.double) == (0, 0, False)


@pytest.mark.parametrize(
    ("name", "held"),
    [
        # A byte a weight, and a scale for each output.
        ("int8", LAYERS + 4 * 2 * (2 * 64 + 2 * 32 + 2 * 128 + 64)),
        # Half a byte, a scale for each block, and the table of 16 values in each layer.
        ("fp4", LAYERS // 2 + 4 * BLOCKS + 14 * 4 * 16),
        # The scales a byte each, their own scale, table and offset in each layer.
        ("nf4", LAYERS // 2 + BLOCKS + 14 * 4 * (16 + 1 + 256 + 1)),
    ],
)
def test_packed_weights_take_what_they_take(tiny_model: Path, name: str, held: int) -> None:
    model = load(tiny_model, FORMS[name])
    rest = 4 * (EMBEDDINGS + NORMS)
    for _ in range(2):
        found = count_weights(model, whole=torch.bfloat16)
        assert found.parameters == EMBEDDINGS + NORMS + LAYERS
        assert found.packed == LAYERS
        assert found.trainable == 0
        assert found.frozen_bytes == rest + held
        assert found.frozen_bytes_whole == rest + 2 * LAYERS
        assert found.double is (name == "nf4")
        evaluate(model)  # the first pass moves the scales of 8-bit layers


def test_an_adapter_is_counted_apart_from_its_base(tiny_model: Path) -> None:
    model = load(tiny_model, FORMS["nf4"])
    before = count_weights(model, whole=torch.float32)
    adapted = attach_new(model, AdapterSection(adapter="lora", lora_r=2, lora_target_linear=True))
    after = count_weights(adapted, whole=torch.float32)
    inputs_and_outputs = sum(
        layer.in_features + layer.out_features for layer in quantised_layers(model)
    )
    assert after.trainable == 2 * inputs_and_outputs
    assert after.parameters == before.parameters + after.trainable
    assert after.frozen_bytes == before.frozen_bytes
