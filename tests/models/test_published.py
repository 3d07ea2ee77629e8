"""Weights that are saved under other names, or cut otherwise, are taken up again as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from axolotl.models.published import is_published_otherwise, take_published
from axolotl.models.tiny import tiny_model


@pytest.mark.parametrize("kind", ["gpt_neox", "mixtral"])
def test_what_was_saved_is_taken_up_bit_for_bit(kind: str, tmp_path: Path) -> None:
    model, other = (tiny_model(kind, vocabulary=64, seed=seed) for seed in (0, 1))
    assert is_published_otherwise(model)
    model.save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as saved:
        assert set(saved.keys()) != set(model.state_dict()), "the library saves it as it is now"
    found = take_published(other, tmp_path)
    assert (found.missing_keys, found.unexpected_keys) == ([], [])
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, other.state_dict()[name]), name


def test_what_does_not_fit_is_told(tmp_path: Path) -> None:
    tiny_model("gpt_neox", vocabulary=64).save_pretrained(tmp_path)
    found = take_published(
        tiny_model("gpt_neox", vocabulary=64, changes={"attention_bias": False}), tmp_path
    )
    assert any(name.endswith("bias") for name in found.unexpected_keys)


def test_a_model_that_is_published_as_it_is(tiny_model: Path) -> None:
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(tiny_model)
    assert not is_published_otherwise(model)
    assert not is_published_otherwise(torch.nn.Linear(2, 2))
