"""The learning rate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from axolotl.errors import ConfigError, ConfigErrors, UnknownName
from axolotl.registry import load
from axolotl.resolve.case import Case, Found, Table
from axolotl.schedules import Schedule, as_following, fill_options, followed_loss

_SCHEDULES = "axolotl.schedules"


def one_warmup(case: Case) -> Iterator[Found]:
    """The warm-up is given once."""
    schedule = case.config.schedule
    if schedule.warmup_steps is not None and schedule.warmup_ratio is not None:
        yield Found(
            "error",
            "warmup_ratio",
            f"warmup_ratio: {schedule.warmup_ratio} and `warmup_steps: {schedule.warmup_steps}` "
            "exclude each other",
            "remove one of the two",
        )


def schedule_name(case: Case) -> Iterator[Found]:
    """`lr_scheduler` is a schedule, and has the options in `lr_scheduler_kwargs`."""
    schedule = case.config.schedule
    try:
        plug_in = load(_SCHEDULES, schedule.lr_scheduler)
    except UnknownName as error:
        yield Found("error", "lr_scheduler", f"lr_scheduler: {error.what}", error.hint or "")
        return
    config = case.config
    file = {**schedule.model_dump(), "learning_rate": config.optimizer.learning_rate}
    try:
        fill_options(cast(Schedule, plug_in), kwargs=schedule.lr_scheduler_kwargs or {}, file=file)
    except ConfigErrors as errors:
        for error in errors.problems:
            yield Found("error", error.key, error.what, error.hint or "")


def constant_part(case: Case) -> Iterator[Found]:
    """A cosine that ends before the training ends somewhere."""
    schedule = case.config.schedule
    share = schedule.cosine_constant_lr_ratio
    if share and schedule.lr_scheduler == "cosine" and not schedule.cosine_min_lr_ratio:
        yield Found(
            "error",
            "cosine_constant_lr_ratio",
            f"cosine_constant_lr_ratio: {share} needs cosine_min_lr_ratio: without a floor the "
            "learning rate is 0 for the rest of the training",
            "add `cosine_min_lr_ratio: 0.1`",
        )


def followed(case: Case) -> Iterator[Found]:
    """A schedule that follows a loss has one to follow, and every checkpoint knows it."""
    config = case.config
    name, evaluation = config.schedule.lr_scheduler, config.evaluation
    strategy = evaluation.evaluation_strategy
    try:
        plug_in = cast(Schedule, load(_SCHEDULES, name))
        loss = followed_loss(plug_in, evaluates=config.data.evaluates and strategy != "no")
    except UnknownName:
        return  # said by another rule
    except ConfigError as error:
        yield Found("error", error.key, error.what, error.hint or "")
        return
    if as_following(plug_in) and config.relora.relora_steps:
        yield Found(
            "error",
            "lr_scheduler",
            f"lr_scheduler: {name} does not go with ReLoRA, which bends the learning rate itself",
            "choose `lr_scheduler: cosine`",
        )
    if loss == "eval_loss" and _evaluates_late(case):
        yield Found(
            "error",
            "evaluation_strategy",
            f"evaluation_strategy: a checkpoint by steps at the end of an epoch is written before the "
            f"evaluation, and {name} could not go on from it",
            "evaluate by `eval_steps`, or write `save_strategy: epoch`",
        )


def _evaluates_late(case: Case) -> bool:
    """Whether evaluations come at the end of epochs, and checkpoints by steps."""
    evaluation, saving = case.config.evaluation, case.config.saving
    by_steps = evaluation.eval_steps or evaluation.evals_per_epoch
    return not by_steps and bool(saving.save_steps or saving.saves_per_epoch)


TABLE: Table = [
    (one_warmup, "warmup_steps warmup_ratio"),
    (schedule_name, "lr_scheduler lr_scheduler_kwargs log_sweep_min_lr log_sweep_max_lr"),
    (constant_part, "cosine_constant_lr_ratio cosine_min_lr_ratio lr_scheduler"),
    (
        followed,
        "lr_scheduler val_set_size evaluation_strategy eval_steps save_steps relora_steps",
    ),
]
