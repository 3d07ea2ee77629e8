"""The optimizer: its name, its package, its options, and what it does not go with."""

from __future__ import annotations

from collections.abc import Iterator

from axolotl.errors import ConfigErrors, UnknownName
from axolotl.optimizers import OLD_OPTIMIZERS, Facts, facts_of, fill_options
from axolotl.records import Edit
from axolotl.resolve.case import Case, Found, Table

_FLAT = ("constant", "constant_with_warmup")


def _facts(case: Case) -> Facts | None:
    """What is known of the optimizer; None where its name is none."""
    try:
        return facts_of(case.config.optimizer.optimizer)
    except UnknownName:
        return None


def optimizer_name(case: Case) -> Iterator[Found]:
    """`optimizer` is one that is known and can be right here."""
    name = case.config.optimizer.optimizer
    try:
        facts = facts_of(name)
    except UnknownName as error:
        yield Found("error", "optimizer", f"optimizer: {error.what}", error.hint or "")
        return
    if facts.refused:
        what = f"optimizer: {name} is refused: {facts.refused}"
        yield Found("error", "optimizer", what, f"write `{facts.instead}`")


def optimizer_here(case: Case) -> Iterator[Found]:
    """The package that the optimizer comes from is installed."""
    facts, name = _facts(case), case.config.optimizer.optimizer
    if facts is None or facts.refused or not case.trains:
        return
    if facts.package in case.machine.missing:
        yield Found(
            "error",
            "optimizer",
            f"optimizer: {name} needs the package '{facts.package}', which is not installed",
            f"pip install 'axolotl[{facts.extra}]', or write `optimizer: adamw_torch`",
        )


def old_optimizer_names(case: Case) -> Iterator[Found]:
    """Names that transformers has dropped."""
    name = case.config.optimizer.optimizer
    if new := OLD_OPTIMIZERS.get(name):
        yield Found(
            "warning",
            "optimizer",
            f"optimizer: {name} is gone; {new} is used, the same method",
            f"write `optimizer: {new}`",
            (Edit("set", "optimizer", new),),
        )


def optimizer_options(case: Case) -> Iterator[Found]:
    """`optim_args` has what the optimizer knows."""
    if _facts(case) is None:
        return
    optimizer = case.config.optimizer
    try:
        fill_options(optimizer.optimizer, optimizer.optim_args)
    except ConfigErrors as errors:
        for error in errors.problems:
            yield Found("error", error.key, error.what, error.hint or "")


def projected_layers(case: Case) -> Iterator[Found]:
    """An optimizer that projects gradients is told of which layers, and trains whole weights."""
    facts, config = _facts(case), case.config
    if facts is None or not facts.projects:
        return
    name = config.optimizer.optimizer
    if not config.optimizer.optim_target_modules:
        yield Found(
            "error",
            "optim_target_modules",
            f"optim_target_modules: {name} has to be told whose gradients it projects",
            "write `optim_target_modules: all_linear`",
        )
    if config.adapter.adapter:
        yield Found(
            "error",
            "optimizer",
            f"optimizer: {name} projects gradients of whole weights to a low rank; "
            f"`adapter: {config.adapter.adapter}` trains weights of a low rank already",
            "remove the adapter, or write `optimizer: adamw_torch`",
        )


def averaged_weights(case: Case) -> Iterator[Found]:
    """A schedule-free optimizer stands in the place of a schedule, and averages what it trains."""
    facts, config = _facts(case), case.config
    if facts is None or not facts.averages:
        return
    name, schedule = config.optimizer.optimizer, config.schedule.lr_scheduler
    if "lr_scheduler" in config.written and schedule not in _FLAT:
        yield Found(
            "warning",
            "lr_scheduler",
            f"lr_scheduler: {schedule} lowers the learning rate, and {name} averages the weights in "
            "its place",
            "write `lr_scheduler: constant_with_warmup`",
        )
    if config.relora.relora_steps:
        yield Found(
            "error",
            "optimizer",
            f"optimizer: {name} does not go with ReLoRA: its average would be one of adapters that "
            "stand on different bases",
            "write `optimizer: adamw_torch`",
        )
    if config.optimizer.adam_beta1 == 0 and "adam_beta1" in facts.takes:
        yield Found(
            "error",
            "adam_beta1",
            f"adam_beta1: 0 leaves {name} no point between the average and the last step",
            "write `adam_beta1: 0.9`",
        )


def rate_groups(case: Case) -> Iterator[Found]:
    """Each group of `lr_groups` has a name of its own."""
    seen = set[str]()
    for number, group in enumerate(case.config.optimizer.lr_groups or ()):
        if group.name in seen:
            key = f"lr_groups.{number}.name"
            what = f"{key}: '{group.name}' is the name of an earlier group"
            yield Found("error", key, what, "give each group a name of its own")
        seen.add(group.name)


TABLE: Table = [
    (optimizer_name, "optimizer"),
    (optimizer_here, "optimizer"),
    (old_optimizer_names, "optimizer"),
    (optimizer_options, "optimizer optim_args"),
    (projected_layers, "optimizer optim_target_modules adapter"),
    (averaged_weights, "optimizer lr_scheduler relora_steps adam_beta1"),
    (rate_groups, "lr_groups"),
]
