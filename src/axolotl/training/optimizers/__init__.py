"""What builds the optimizers: one file for each family, named as its facts in `axolotl.optimizers`."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

import torch

Groups = list[dict[str, Any]]
"""Parameters, each group with its `lr` and `weight_decay`."""


@dataclass(frozen=True)
class Order:
    """What is to be built.

    Args:
        name: The optimizer.
        learning_rate: That of the main groups.
        betas: Of Adam and its kin.
        beta3: Of those with a third mean; None for their default.
        epsilon: Of Adam and its kin.
        epsilon2: Of Adafactor; None for its default.
        options: What `optim_args` says, as the optimizer's `Options`.
        projected: Parameters whose gradients are projected, by `id`.
        on_gpu: Whether the parameters are on a GPU.
    """

    name: str
    learning_rate: float
    betas: tuple[float, float]
    beta3: float | None
    epsilon: float
    epsilon2: float | None
    options: Any
    projected: frozenset[int]
    on_gpu: bool

    @property
    def adam(self) -> dict[str, Any]:
        """Arguments that Adam and its kin have in common."""
        return {"lr": self.learning_rate, "betas": self.betas, "eps": self.epsilon}


class Builder(Protocol):
    """What a file of this folder contains."""

    def build(self, groups: Groups, order: Order) -> torch.optim.Optimizer:
        """The optimizer."""
        ...


def split_projected(groups: Groups, order: Order, settings: dict[str, Any]) -> Groups:
    """The groups, those parameters apart whose gradients are projected.

    Args:
        groups: All groups; the first two stay the first two.
        order: Knows the parameters.
        settings: Of the projection.
    """
    rest, apart = Groups(), Groups()
    for group in groups:
        inside = [p for p in group["params"] if id(p) in order.projected]
        rest.append(
            {**group, "params": [p for p in group["params"] if id(p) not in order.projected]}
        )
        if inside:
            apart.append({**group, "params": inside, **settings})
    return [*rest, *apart]


def keep_precision(optimizer: torch.optim.Optimizer) -> None:
    """Let states be loaded in the precision that they were saved in.

    torch turns them into that of their weights; what has another one would go on with other bits.
    """
    held: list[dict[str, Any]] = []

    def before(_: Any, state_dict: dict[str, Any]) -> None:
        held[:] = [state_dict]

    def after(loaded: torch.optim.Optimizer) -> None:
        saved = held.pop()
        numbers = chain.from_iterable(group["params"] for group in saved["param_groups"])
        weights = chain.from_iterable(group["params"] for group in loaded.param_groups)
        for number, weight in zip(numbers, weights, strict=True):
            state = loaded.state.get(weight, {})
            for key, value in saved["state"].get(number, {}).items():
                now = state.get(key)
                if isinstance(now, torch.Tensor) and now.dtype != value.dtype:
                    state[key] = value.to(now.device)

    optimizer.register_load_state_dict_pre_hook(before)
    optimizer.register_load_state_dict_post_hook(after)


def set_rate(group: dict[str, Any], rate: Any) -> None:
    """Change a group's learning rate, which some optimizers keep as a tensor."""
    if isinstance(group["lr"], torch.Tensor):
        group["lr"].fill_(float(rate))
    else:
        group["lr"] = float(rate)
