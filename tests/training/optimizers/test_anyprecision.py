"""AdamW of any precision: in full precision it is AdamW; in low, small steps are not lost."""

from __future__ import annotations

import copy
import io

import pytest
import torch

from axolotl.training.optimizers import keep_precision
from axolotl.training.optimizers.anyprecision import AnyPrecisionAdamW


def steps(
    optimizer: torch.optim.Optimizer, weight: torch.Tensor, count: int, seed: int = 0
) -> None:
    chance = torch.Generator().manual_seed(seed)
    for _ in range(count):
        weight.grad = torch.randn(weight.shape, generator=chance).to(weight.dtype)
        optimizer.step()


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_in_full_precision_it_is_adamw(decay: float) -> None:
    start = torch.randn(7, 5, generator=torch.Generator().manual_seed(1))
    ours, theirs = start.clone().requires_grad_(), start.clone().requires_grad_()
    settings = {"lr": 1e-2, "betas": (0.8, 0.95), "eps": 1e-6}
    steps(AnyPrecisionAdamW([{"params": [ours], "weight_decay": decay}], **settings), ours, 20)
    steps(torch.optim.AdamW([theirs], **settings, weight_decay=decay), theirs, 20)
    assert torch.allclose(ours, theirs, atol=1e-6)


def train(compensation: torch.dtype | None) -> torch.Tensor:
    weight = torch.ones(64, dtype=torch.bfloat16, requires_grad=True)
    low = {"momentum_dtype": torch.bfloat16, "variance_dtype": torch.bfloat16}
    optimizer = AnyPrecisionAdamW(
        [{"params": [weight]}],
        lr=1e-4,
        betas=(0.9, 0.99),
        eps=1e-8,
        compensation_dtype=compensation,
        **low,
    )
    for _ in range(300):
        weight.grad = torch.ones_like(weight)
        optimizer.step()
    kinds = {value.dtype for value in optimizer.state[weight].values() if torch.is_tensor(value)}
    assert kinds == {torch.bfloat16}
    return weight.detach().float()


def test_what_rounding_loses_is_made_good() -> None:
    assert torch.equal(train(None), torch.ones(64)), "steps of 1e-4 are too small for bfloat16"
    assert torch.allclose(train(torch.bfloat16), torch.full((64,), 0.97), atol=5e-3)


@pytest.mark.parametrize("weights", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("states", [torch.float32, torch.bfloat16])
def test_a_loaded_state_has_the_precision_that_it_was_saved_in(
    weights: torch.dtype, states: torch.dtype
) -> None:
    def make(weight: torch.Tensor) -> AnyPrecisionAdamW:
        optimizer = AnyPrecisionAdamW(
            [{"params": [weight]}],
            lr=1e-2,
            betas=(0.9, 0.99),
            eps=1e-8,
            momentum_dtype=states,
            compensation_dtype=torch.bfloat16,
        )
        keep_precision(optimizer)
        return optimizer

    weight = torch.ones(9, dtype=weights, requires_grad=True)
    optimizer = make(weight)
    steps(optimizer, weight, 3)
    saved = io.BytesIO()
    torch.save(optimizer.state_dict(), saved)
    other = copy.deepcopy(weight.detach()).requires_grad_()
    resumed = make(other)
    saved.seek(0)
    resumed.load_state_dict(torch.load(saved, weights_only=True))
    steps(optimizer, weight, 3, seed=1)
    steps(resumed, other, 3, seed=1)
    assert torch.equal(weight, other)
    assert resumed.state[other]["exp_avg"].dtype == states
