"""What an optimizer knows is gone after a reset, whichever it is; its next step is like its first."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import bitsandbytes
import pytest
import torch
import transformers

from axolotl.training.relora.optimizer import prune_optimizer, reset_optimizer

bnb: Any = bitsandbytes
Make = Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer]
OPTIMIZERS: dict[str, Make] = {
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1),
    "adamw-fused": lambda p: torch.optim.AdamW(p, lr=0.1, fused=True),
    "amsgrad": lambda p: torch.optim.Adam(p, lr=0.1, amsgrad=True),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.1),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1),
    "adafactor": lambda p: transformers.Adafactor(
        p, lr=0.1, relative_step=False, scale_parameter=False, beta1=0.9
    ),
    "bnb-adamw-8bit": lambda p: bnb.optim.AdamW8bit(p, lr=0.1),
    "bnb-adamw-32bit": lambda p: bnb.optim.AdamW32bit(p, lr=0.1),
    "bnb-lion-8bit": lambda p: bnb.optim.Lion8bit(p, lr=0.1),
    "bnb-ademamix-8bit": lambda p: bnb.optim.AdEMAMix8bit(p, lr=0.1),
    "bnb-rmsprop-8bit": lambda p: bnb.optim.RMSprop8bit(p, lr=0.1),
}


def parameters() -> list[torch.nn.Parameter]:
    """One large enough to be held in 8 bits, and a small one."""
    generator = torch.Generator().manual_seed(0)
    return [
        torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in [(96, 64), (7,)]
    ]


def step(optimizer: torch.optim.Optimizer, weights: list[torch.nn.Parameter], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for weight in weights:
        weight.grad = torch.randn(weight.shape, generator=generator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimizer.step()


def tensors(state: Any) -> Iterator[tuple[str, torch.Tensor]]:
    for key, value in state.items():
        if isinstance(value, torch.Tensor):
            yield key, value
        elif isinstance(value, dict):
            yield from tensors(value)


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_the_step_after_a_reset_is_that_of_a_new_optimizer(make: Make) -> None:
    used, fresh = parameters(), parameters()
    optimizer = make(used)
    for seed in range(3):
        step(optimizer, used, seed)
    with torch.no_grad():
        for a, b in zip(used, fresh, strict=True):
            b.copy_(a)
    reset_optimizer(optimizer)
    first = make(fresh)
    for seed in (10, 11):
        step(optimizer, used, seed)
        step(first, fresh, seed)
    for a, b in zip(used, fresh, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_all_is_zero_but_what_quantised_codes_stand_for(make: Make) -> None:
    weights = parameters()
    optimizer = make(weights)
    for seed in range(3):
        step(optimizer, weights, seed)
    before = [copy.deepcopy(state) for state in optimizer.state.values()]
    assert any(value.any() for state in before for _, value in tensors(state))
    reset_optimizer(optimizer)
    for state, earlier in zip(optimizer.state.values(), before, strict=True):
        assert state.get("step", 0) == 0
        for key, value in tensors(state):
            if "qmap" in key:
                assert torch.equal(value, earlier[key])
            else:
                assert not value.any(), key


def test_counters_and_states_beside_the_options_and_constants() -> None:
    weight = parameters()[1]
    optimizer = torch.optim.SGD([weight], lr=0.1)
    inner = {"step": 4, "exp_avg": torch.ones(7)}
    optimizer.param_groups[0] |= {"step": torch.tensor(3), "k": 2, "state": {weight: inner}}
    optimizer.state[weight] = {"eps_sq": torch.tensor(1e-12), "seed": 5, "step": torch.tensor(3.0)}
    reset_optimizer(optimizer)
    group, state = optimizer.param_groups[0], optimizer.state[weight]
    assert (int(group["step"]), group["k"], inner["step"], group["lr"]) == (0, 0, 0, 0.1)
    assert not inner["exp_avg"].any()
    assert (float(state["eps_sq"]), state["seed"]) == (pytest.approx(1e-12), 5)
    assert state["step"] == 0


def test_pruning_keeps_the_largest_moments_and_the_count() -> None:
    weights = parameters()
    optimizer = torch.optim.AdamW(weights, lr=0.1)
    for seed in range(3):
        step(optimizer, weights, seed)
    before = copy.deepcopy(optimizer.state[weights[0]])
    other = copy.deepcopy(optimizer.state[weights[1]])
    prune_optimizer(optimizer, weights[:1], 0.9)
    after = optimizer.state[weights[0]]
    for name in ("exp_avg", "exp_avg_sq"):
        kept = after[name] != 0
        assert int(kept.sum()) == after[name].numel() - int(0.9 * after[name].numel())
        assert torch.equal(after[name][kept], before[name][kept])
        assert before[name][kept].abs().min() >= before[name][~kept].abs().max()
    assert after["step"] == 3
    assert torch.equal(optimizer.state[weights[1]]["exp_avg"], other["exp_avg"])
