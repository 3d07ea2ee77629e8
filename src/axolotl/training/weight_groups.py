"""Which weights have which learning rate, and which of them decay."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from axolotl.config.optimizer import RateGroup
from axolotl.errors import ModelError

_ADAPTED_EMBEDDING = "lora_embedding_"
_B = "lora_B"
_MAIN = "main"
_SHOWN = 6


@dataclass
class _Kind:
    """Weights of one learning rate."""

    rate: float
    decay: list[torch.Tensor] = field(default_factory=list)
    stay: list[torch.Tensor] = field(default_factory=list)


def weight_groups(
    model: torch.nn.Module,
    *,
    decayed: Collection[str],
    weight_decay: float,
    learning_rate: float,
    loraplus_lr_ratio: float | None = None,
    loraplus_lr_embedding: float = 1e-6,
    lr_groups: Sequence[RateGroup] = (),
) -> list[dict[str, Any]]:
    """Groups of trained weights; the first two, with the main rate, are always there.

    Args:
        model: Model, or model with adapter.
        decayed: Names of the weights that decay.
        weight_decay: By how much.
        learning_rate: The main rate, that of log lines.
        loraplus_lr_ratio: LoRA+: B matrices have so many times the main rate.
        loraplus_lr_embedding: LoRA+: the rate of adapters on embeddings.
        lr_groups: Weights with rates of their own, before all others.

    Raises:
        ModelError: no weight belongs to one of `lr_groups`.
    """
    kinds: dict[str, _Kind] = {_MAIN: _Kind(learning_rate)}
    for name, weight in model.named_parameters():
        if not weight.requires_grad:
            continue
        own = next((g for g in lr_groups if any(part in name for part in g.modules)), None)
        kind, rate = _MAIN, learning_rate
        if own is not None:
            kind, rate = f"lr_groups: {own.name}", own.lr
        elif loraplus_lr_ratio is not None and _ADAPTED_EMBEDDING in name:
            kind, rate = _ADAPTED_EMBEDDING, loraplus_lr_embedding
        elif loraplus_lr_ratio is not None and _B in name:
            kind, rate = _B, learning_rate * loraplus_lr_ratio
        place = kinds.setdefault(kind, _Kind(rate))
        (place.decay if name in decayed else place.stay).append(weight)
    for group in lr_groups:
        if f"lr_groups: {group.name}" not in kinds:
            raise ModelError(
                f"no trained weight belongs to '{group.name}': none has one of "
                f"{', '.join(group.modules)} in its name",
                where="lr_groups",
                hint=f"`modules` are parts of names; those trained are such as {_some_trained(model)}",
            )
    return [
        {"params": weights, "lr": kind.rate, "weight_decay": decay}
        for name, kind in kinds.items()
        for weights, decay in ((kind.decay, weight_decay), (kind.stay, 0.0))
        if weights or name == _MAIN
    ]


def _some_trained(model: torch.nn.Module) -> str:
    """Names of trained weights, one of each kind of layer, as many as are read."""
    names = [name for name, weight in model.named_parameters() if weight.requires_grad]
    kinds = {re.sub(r"\d+", "N", name): name for name in reversed(names)}
    some = sorted(kinds.values(), key=names.index)
    return ", ".join(some[:_SHOWN]) + (" …" if len(some) > _SHOWN else "")


def projected_weights(model: torch.nn.Module, targets: str | Sequence[str]) -> frozenset[int]:
    """Weights of linear layers whose gradients are projected, by `id`.

    Args:
        model: The model.
        targets: `all_linear`, a regular expression for the whole name of a layer, or parts of names.

    Raises:
        ModelError: no linear layer is meant.
    """
    names = [n for n, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    if isinstance(targets, str):
        everything = targets.replace("-", "_") == "all_linear"
        meant = {n for n in names if everything or re.fullmatch(targets, n)}
    else:
        meant = {n for n in names if any(part in n for part in targets)}
    found = {
        id(weight)
        for name, weight in model.named_parameters()
        if name.removesuffix(".weight") in meant and weight.requires_grad
    }
    if not found:
        raise ModelError(
            f"no linear layer is meant by {targets!r}; there are {', '.join(names[:8])} …",
            where="optim_target_modules",
            hint="write `optim_target_modules: all_linear`",
        )
    return frozenset(found)
