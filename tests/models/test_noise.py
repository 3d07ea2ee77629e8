"""Noise on embeddings: how much, where, and when not."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from axolotl.config.adapter import AdapterSection
from axolotl.errors import ModelError
from axolotl.models.adapters import attach_new
from axolotl.models.isolation import row_arguments
from axolotl.models.noise import EmbeddingNoise, sample_lengths
from tests.conftest import build_llama

LENGTHS = [400, 100, 25]


@pytest.fixture(scope="module")
def row() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 100, (1, sum(LENGTHS)), generator=generator)
    return {"input_ids": ids, "position_ids": torch.cat([torch.arange(n) for n in LENGTHS])[None]}


def embeddings(model: Any, row: dict[str, torch.Tensor]) -> torch.Tensor:
    return model.get_input_embeddings()(row["input_ids"])[0].detach()


@pytest.mark.parametrize("noisy_embedding_alpha", [1.0, 5.0])
@pytest.mark.parametrize(
    "adapter",
    [{}, {"lora_target_modules": ["q_proj", "embed_tokens"]}, {"lora_modules_to_save": ["embed_tokens"]}],
    ids=["full", "adapter on the embeddings", "embeddings saved whole"],
)  # fmt: skip
def test_each_sample_gets_as_much_noise_as_its_length_says(
    row: dict[str, torch.Tensor], noisy_embedding_alpha: float, adapter: dict[str, Any]
) -> None:
    model: Any = build_llama()
    if adapter:
        options = {"adapter": "lora", "lora_target_modules": ["q_proj"], **adapter}
        model = attach_new(model, AdapterSection(**options))
    model.train()
    width = model.config.hidden_size
    clean = embeddings(model, row)
    noise = EmbeddingNoise(model, noisy_embedding_alpha)
    torch.manual_seed(1)
    with noise(row["position_ids"]):
        first, second = embeddings(model, row) - clean, embeddings(model, row) - clean
    assert not torch.equal(first, second)
    start = 0
    for length in LENGTHS:
        part = first[start : start + length]
        bound = noisy_embedding_alpha / (length * width) ** 0.5
        assert part.abs().max() <= bound * (1 + 1e-4)
        assert part.abs().max() > 0.98 * bound
        assert part.mean().abs() < 5 * bound / (3 * part.numel()) ** 0.5
        assert part.var() == pytest.approx(bound**2 / 3, rel=0.15)
        start += length
    assert torch.equal(embeddings(model, row), clean), "noise outside of a training row"


def test_no_noise_is_left_behind(row: dict[str, torch.Tensor]) -> None:
    model: Any = build_llama().eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    arguments = row_arguments(model, row["input_ids"], row["position_ids"])
    with torch.no_grad():
        clean = model(**arguments).logits
        with EmbeddingNoise(model, 5.0)(row["position_ids"]):
            noisy = model(**arguments).logits
        assert not torch.allclose(noisy, clean)
        assert torch.equal(model(**arguments).logits, clean)
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


def test_an_error_in_the_body_takes_the_noise_away_too(row: dict[str, torch.Tensor]) -> None:
    model: Any = build_llama()
    clean = embeddings(model, row)
    with pytest.raises(ValueError, match="broken"), EmbeddingNoise(model, 5.0)(row["position_ids"]):
        raise ValueError("broken")
    assert torch.equal(embeddings(model, row), clean)


def test_lengths_of_samples() -> None:
    assert sample_lengths(torch.tensor([0, 0, 1, 0])).tolist() == [1, 2, 2, 1]


def test_a_model_without_named_embeddings_is_refused() -> None:
    with pytest.raises(ModelError, match="does not name its input embeddings"):
        EmbeddingNoise(torch.nn.Linear(2, 2), 5.0)
