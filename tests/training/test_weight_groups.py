"""Weights have the rate that the options give them; the main one comes first."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.optimizers import create_loraplus_optimizer
from torch import nn

from axolotl.config.optimizer import RateGroup
from axolotl.errors import ModelError
from axolotl.training.weight_groups import projected_weights, weight_groups


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(8, 4)
        self.up = nn.Linear(4, 4)
        self.down = nn.Linear(4, 4, bias=False)
        self.norm = nn.LayerNorm(4)


DECAYED = {"embed.weight", "up.weight", "down.weight"}


def described(
    model: nn.Module, groups: list[dict[str, Any]]
) -> list[tuple[set[str], float, float]]:
    names = {id(weight): name for name, weight in model.named_parameters()}
    return [({names[id(p)] for p in g["params"]}, g["lr"], g["weight_decay"]) for g in groups]


def test_norms_and_biases_do_not_decay() -> None:
    model = Small()
    groups = weight_groups(model, decayed=DECAYED, weight_decay=0.1, learning_rate=1e-3)
    assert described(model, groups) == [
        (DECAYED, 1e-3, 0.1),
        ({"up.bias", "norm.weight", "norm.bias"}, 1e-3, 0.0),
    ]


def test_rates_of_parts_and_the_main_one_first() -> None:
    model = Small()
    parts = [
        RateGroup(name="ends", modules=["embed", "down"], lr=1e-5),
        RateGroup(name="ups", modules=["up"], lr=5e-4),
    ]
    common: dict[str, Any] = {"decayed": DECAYED, "weight_decay": 0.1, "learning_rate": 1e-3}
    groups = weight_groups(model, **common, lr_groups=parts)
    assert described(model, groups) == [
        (set(), 1e-3, 0.1),
        ({"norm.weight", "norm.bias"}, 1e-3, 0.0),
        ({"embed.weight", "down.weight"}, 1e-5, 0.1),
        ({"up.weight"}, 5e-4, 0.1),
        ({"up.bias"}, 5e-4, 0.0),
    ]
    nowhere = [RateGroup(name="heads", modules=["lm_head"], lr=1e-5)]
    with pytest.raises(ModelError, match="no trained weight belongs to 'heads'") as caught:
        weight_groups(model, **common, lr_groups=nowhere)
    assert caught.value.where == "lr_groups"


def test_the_hint_names_what_trains() -> None:
    model = get_peft_model(Small(), LoraConfig(r=2, target_modules=["up"]))
    with pytest.raises(ModelError) as caught:
        weight_groups(
            model,
            decayed=(),
            weight_decay=0.0,
            learning_rate=1e-3,
            lr_groups=[RateGroup(name="downs", modules=["down"], lr=1e-5)],
        )
    hint = str(caught.value.hint)
    assert "base_model.model.up.lora_A.default.weight, base_model.model.up.lora_B" in hint
    assert "base_layer" not in hint


def test_loraplus_has_the_rates_that_peft_gives() -> None:
    model = get_peft_model(Small(), LoraConfig(r=2, target_modules=["up", "down", "embed"]))
    theirs = create_loraplus_optimizer(
        model=model,
        optimizer_cls=torch.optim.AdamW,
        lr=1e-3,
        loraplus_lr_ratio=16,
        loraplus_lr_embedding=1e-5,
    )
    ours = weight_groups(
        model,
        decayed=[],
        weight_decay=0.0,
        learning_rate=1e-3,
        loraplus_lr_ratio=16,
        loraplus_lr_embedding=1e-5,
    )
    expected = {name: g[1] for g in described(model, theirs.param_groups) for name in g[0]}
    found = {name: g[1] for g in described(model, ours) for name in g[0]}
    assert found == pytest.approx(expected)
    assert set(found.values()) == {1e-3, 16e-3, 1e-5}


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ("all_linear", {"up", "down"}),
        ("all-linear", {"up", "down"}),
        (["up", "embed"], {"up"}),
        (r"(do|to)wn", {"down"}),
    ],
)
def test_layers_whose_gradients_are_projected(targets: Any, expected: set[str]) -> None:
    model = Small()
    found = projected_weights(model, targets)
    assert {n.partition(".")[0] for n, p in model.named_parameters() if id(p) in found} == expected
    with pytest.raises(ModelError, match="no linear layer is meant by 'dow'"):
        projected_weights(model, "dow")
