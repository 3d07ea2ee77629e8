"""The optimizer of a run."""

from __future__ import annotations

from typing import Any, cast

import torch

from axolotl.config.optimizer import OptimizerSection
from axolotl.optimizers import Facts, facts_of, fill_options
from axolotl.registry import load
from axolotl.training.optimizers import Builder, Order, keep_precision, set_rate
from axolotl.training.optimizers.bnb import keep_wide
from axolotl.training.weight_groups import projected_weights, weight_groups

BUILDERS = "axolotl.training.optimizers"


class OptimizerMaker:
    """Builds the optimizer when the model is there.

    Args:
        section: The options.

    Attributes:
        kept: Settings of its groups that are part of its state, and not of the file.

    Raises:
        ConfigErrors: `optim_args` has what the optimizer does not know.
        UnknownName: there is no such optimizer.
    """

    def __init__(self, section: OptimizerSection) -> None:
        self.section = section
        self._facts = facts_of(section.optimizer)
        self._options = fill_options(section.optimizer, section.optim_args)
        self.kept = self._facts.kept

    def check(self, model: torch.nn.Module) -> None:
        """Find the weights that the options mean, before anything is done.

        Args:
            model: Model, or model with adapter.

        Raises:
            ModelError: the options mean weights that the model does not have.
        """
        self._groups(model, [])
        _order(self.section, self._facts, self._options, model)

    def __call__(self, model: torch.nn.Module, decayed: list[str]) -> torch.optim.Optimizer:
        """The optimizer.

        Args:
            model: Model, or model with adapter.
            decayed: Names of the weights that decay.

        Raises:
            ModelError: the options mean weights that the model does not have.
        """
        section, facts = self.section, self._facts
        groups = self._groups(model, decayed)
        order = _order(section, facts, self._options, model)
        optimizer = cast(Builder, load(BUILDERS, facts.family)).build(groups, order)
        if facts.family == "bnb" and section.optimizer.endswith("8bit"):
            keep_wide(optimizer, _embeddings(model))
        keep_precision(optimizer)
        return optimizer

    def _groups(self, model: torch.nn.Module, decayed: list[str]) -> list[dict[str, Any]]:
        section = self.section
        return weight_groups(
            model,
            decayed=frozenset(decayed),
            weight_decay=section.weight_decay,
            learning_rate=section.learning_rate,
            loraplus_lr_ratio=section.loraplus_lr_ratio,
            loraplus_lr_embedding=section.loraplus_lr_embedding,
            lr_groups=section.lr_groups or (),
        )


def _order(section: OptimizerSection, facts: Facts, options: Any, model: torch.nn.Module) -> Order:
    projected = frozenset[int]()
    if facts.projects:
        assert section.optim_target_modules, "a rule asks for them"
        projected = projected_weights(model, section.optim_target_modules)
    return Order(
        name=section.optimizer,
        learning_rate=section.learning_rate,
        betas=(section.adam_beta1, section.adam_beta2),
        beta3=section.adam_beta3,
        epsilon=section.adam_epsilon,
        epsilon2=section.adam_epsilon2,
        options=options,
        projected=projected,
        on_gpu=any(weight.is_cuda for weight in model.parameters()),
    )


def _embeddings(model: torch.nn.Module) -> list[torch.Tensor]:
    found = [m.weight for m in model.modules() if isinstance(m, torch.nn.Embedding)]
    return [weight for weight in found if weight.requires_grad]


def settings(optimizer: Any) -> list[dict[str, Any]]:
    """The settings of its groups, to be put back after a checkpoint has been loaded."""
    return [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]


def take_up_settings(
    optimizer: Any, ours: list[dict[str, Any]], rates: list[Any], *, kept: frozenset[str]
) -> None:
    """Settings are those of this run's file, except those that are part of the state.

    Args:
        optimizer: Loaded from a checkpoint.
        ours: What `settings` gave before.
        rates: The learning rate of each group now.
        kept: Names of settings that the checkpoint decides.
    """
    for group, options, rate in zip(optimizer.param_groups, ours, rates, strict=True):
        group.update({k: v for k, v in options.items() if k not in kept and k != "lr"})
        set_rate(group, rate)
