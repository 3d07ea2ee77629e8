"""Optimizers of torch and transformers themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.optim import SGD, Adagrad, AdamW, RMSprop
from transformers import Adafactor

from axolotl.training.optimizers import Groups, Order

ADAFACTOR_EPSILONS = (1e-30, 1e-3)


def build(groups: Groups, order: Order) -> torch.optim.Optimizer:
    """The optimizer."""
    return _BUILD[order.name](groups, order)


def adafactor_arguments(order: Order) -> dict[str, Any]:
    """Adafactor with the file's learning rate instead of one of its own."""
    first, second = ADAFACTOR_EPSILONS
    return {
        "lr": order.learning_rate,
        "eps": (first, second if order.epsilon2 is None else order.epsilon2),
        "relative_step": False,
        "scale_parameter": False,
    }


def _options(order: Order) -> dict[str, Any]:
    return {"lr": order.learning_rate, **order.options.model_dump()}


_BUILD: Mapping[str, Callable[[Groups, Order], torch.optim.Optimizer]] = {
    "adamw_torch": lambda groups, order: AdamW(groups, **order.adam),
    "adamw_torch_fused": lambda groups, order: AdamW(groups, **order.adam, fused=True),
    "adafactor": lambda groups, order: Adafactor(
        groups, **{**adafactor_arguments(order), **order.options.model_dump()}
    ),
    "sgd": lambda groups, order: SGD(groups, **_options(order)),
    "adagrad": lambda groups, order: Adagrad(groups, **_options(order)),
    "rmsprop": lambda groups, order: RMSprop(groups, **_options(order)),
}
