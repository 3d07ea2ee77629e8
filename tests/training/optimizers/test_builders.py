"""Optimizers of packages are built as the options say, and keep what a run has to know."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from bitsandbytes.optim.optimizer import GlobalOptimManager
from torch import nn
from transformers import TrainingArguments
from transformers.trainer_optimizer import _OPTIMIZER_HANDLERS, OptimizerContext  # pyright: ignore[reportPrivateUsage]

from axolotl import optimizers
from axolotl.config.optimizer import OptimizerSection
from axolotl.training.optimizer import OptimizerMaker


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(32, 16)
        self.up = nn.Linear(16, 32)
        self.down = nn.Linear(32, 16, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.down(self.up(self.embed(tokens)))


def made(name: str, model: nn.Module | None = None, **options: Any) -> Any:
    section = OptimizerSection(optimizer=name, **options)
    return OptimizerMaker(section)(model or Small(), ["embed.weight", "up.weight", "down.weight"])


def trained(model: nn.Module, optimizer: Any, count: int = 4) -> None:
    tokens = torch.arange(32)[None]
    for _ in range(count):
        if hasattr(optimizer, "train"):
            optimizer.train()
        model(tokens).square().mean().backward()
        optimizer.step()
        model.zero_grad()


SAME = [
    name
    for name, why in optimizers.available().items()
    if why is None
    and name in {key.value for key in _OPTIMIZER_HANDLERS}  # pyright: ignore[reportAttributeAccessIssue]
    and optimizers.facts_of(name).family in ("plain", "bnb", "optimi", "grokadamw")
]


@pytest.mark.parametrize("name", SAME)
@pytest.mark.filterwarnings("ignore:Paged optimizers:UserWarning")
@pytest.mark.filterwarnings("ignore:.*torch.cuda.amp.autocast:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*CUDA is not available:UserWarning")
def test_it_steps_as_the_librarys_own(name: str) -> None:
    """Of the same weights and gradients come the same weights as with what transformers builds."""
    ours, theirs = Small(), Small()
    betas: dict[str, Any] = {"adam_beta1": 0.8, "adam_beta2": 0.95, "adam_epsilon": 1e-7}
    arguments = TrainingArguments(
        optim=name, learning_rate=1e-2, weight_decay=0.1, **betas, use_cpu=True
    )
    context = OptimizerContext(
        args=arguments,
        model=None,
        optimizer_kwargs={"lr": 1e-2},
        adam_kwargs={"betas": (0.8, 0.95), "eps": 1e-7},
        optim_args={},
    )
    kind, settings = _OPTIMIZER_HANDLERS[name](context)
    if name == "grokadamw":
        settings |= context.adam_kwargs
    decaying = [theirs.embed.weight, theirs.up.weight, theirs.down.weight]
    groups = [
        {"params": decaying, "weight_decay": 0.1},
        {"params": [theirs.up.bias], "weight_decay": 0.0},
    ]
    library = kind(groups, **settings)
    trained(theirs, library)
    known = {key: value for key, value in betas.items() if key in optimizers.facts_of(name).takes}
    trained(ours, made(name, ours, learning_rate=1e-2, weight_decay=0.1, **known))
    pairs = zip(ours.parameters(), theirs.parameters(), strict=True)
    assert all(torch.equal(first, second) for first, second in pairs)
    assert not torch.equal(ours.up.weight, Small().up.weight)


def test_states_have_eight_bits_except_those_of_embeddings() -> None:
    model = Small()
    optimizer = made("adamw_bnb_8bit", model, optim_args={"min_8bit_size": 256})
    trained(model, optimizer, 1)
    assert optimizer.state[model.up.weight]["state1"].dtype == torch.uint8
    assert optimizer.state[model.embed.weight]["state1"].dtype == torch.float32
    assert optimizer.state[model.up.bias]["state1"].dtype == torch.float32
    manager = GlobalOptimManager.get_instance()
    assert not manager.pid2config, "of one training nothing is left for the next"
    assert not manager.module_weight_config_triple
    wide = Small()
    states = made("paged_adamw_32bit", wide)
    trained(wide, states, 1)
    assert states.state[wide.up.weight]["state1"].dtype == torch.float32


def test_pages_are_for_gpus(capsys: pytest.CaptureFixture[str]) -> None:
    optimizer = made("paged_adamw_8bit")
    assert optimizer.is_paged is False


def test_numbers_reach_the_optimizer() -> None:
    assert made("ademamix", adam_beta3=0.99).param_groups[0]["betas"] == (0.9, 0.999, 0.99)
    assert made("ademamix").param_groups[0]["betas"][2] == 0.9999
    assert made("adafactor", adam_epsilon2=0.5).param_groups[0]["eps"] == (1e-30, 0.5)
    galore = made(
        "galore_adamw", optim_args="rank=3,scale=0.5", optim_target_modules=["up"], weight_decay=0.1
    )
    assert [group.get("rank") for group in galore.param_groups] == [None, None, 3]
    assert galore.param_groups[2]["weight_decay"] == 0.1


@pytest.mark.parametrize(
    "name", ["schedule_free_adamw", "schedule_free_radam", "schedule_free_sgd"]
)
def test_looking_at_the_average_changes_nothing(name: str) -> None:
    seen, unseen = Small(), Small()
    first, second = made(name, seen), made(name, unseen)
    moved = list[bool]()
    for _ in range(8):
        trained(seen, first, 1)
        trained(unseen, second, 1)
        at = seen.up.weight.detach().clone()
        first.eval()
        moved.append(not torch.equal(seen.up.weight, at))
        first.eval()
        first.train()
    assert any(moved)
    assert torch.equal(seen.up.weight, unseen.up.weight)


def test_grokadamw_has_states_and_leaves_logging_alone() -> None:
    before = (logging.getLogger().level, list(logging.getLogger().handlers))
    model = Small()
    optimizer = made("grokadamw", model)
    trained(model, optimizer, 2)
    assert (logging.getLogger().level, list(logging.getLogger().handlers)) == before
    assert {"exp_avg", "grok_ema"} <= set(optimizer.state[model.up.weight])
    assert all("state" not in group for group in optimizer.param_groups)
