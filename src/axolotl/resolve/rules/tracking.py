"""What follows a run, and where its result is sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from axolotl.resolve.case import Case, Found, Table

_OF_WANDB = ["wandb_entity", "wandb_run_id", "wandb_name", "wandb_watch", "wandb_log_model"]
_OF_MLFLOW = [
    *("mlflow_tracking_uri", "mlflow_experiment_name", "mlflow_run_name"),
    "hf_mlflow_log_artifacts",
]
IDLE: Sequence[tuple[Sequence[str], Callable[[Case], bool], str, str]] = [
    (
        [*_OF_WANDB, "wandb_mode"],
        lambda case: not case.config.tracking.wandb_project,
        "no wandb_project is named",
        "add wandb_project",
    ),
    (
        _OF_MLFLOW,
        lambda case: not case.config.tracking.use_mlflow,
        "nothing is logged to MLflow",
        "add `use_mlflow: true`",
    ),
    (
        ["hub_strategy"],
        lambda case: not case.config.hub.hub_model_id,
        "nothing is sent to the hub",
        "add hub_model_id",
    ),
]
"""Options that change nothing: as in `no_effect`, which says so."""

_NO_IDS = re.compile(r"[/\\#?%:]")
_HUB_NAME = re.compile(r"([\w-][\w.-]*/)?[\w-][\w.-]*")
_LONGEST_HUB_NAME = 96


def trackers_are_there(case: Case) -> Iterator[Found]:
    """Each tracker is a package that is not always installed."""
    tracking = case.config.tracking
    wanted = {
        ("wandb_project", "wandb", "wandb"): tracking.wandb_project
        and tracking.wandb_mode != "disabled",
        ("use_tensorboard", "tensorboard", "tensorboard"): tracking.use_tensorboard,
        ("use_mlflow", "mlflow", "mlflow"): tracking.use_mlflow,
    }
    for (key, package, extra), asked in wanted.items():
        if asked and package in case.machine.missing and case.purpose != "merge":
            yield Found(
                "error" if case.trains else "warning",
                key,
                f"{key}: needs the package {package}, which is not installed",
                f"pip install 'axolotl[{extra}]'",
            )


def wandb_is_off(case: Case) -> Iterator[Found]:
    """`disabled` wins over everything else that is said of wandb."""
    if case.config.tracking.wandb_mode == "disabled" and case.asked("wandb_project"):
        yield Found(
            "info",
            "wandb_mode",
            "wandb_mode: disabled: nothing is logged to wandb",
            "write `offline` to keep the run in output_dir/wandb",
        )


def wandb_ids(case: Case) -> Iterator[Found]:
    """An id is a part of addresses."""
    number = case.config.tracking.wandb_run_id
    if number and (bad := _NO_IDS.search(number)):
        yield Found(
            "error",
            "wandb_run_id",
            f"wandb_run_id: '{number}' holds a '{bad[0]}', which no id of wandb may have",
            f"write '{_NO_IDS.sub('-', number)}', and the name in wandb_name",
        )


def models_to_log(case: Case) -> Iterator[Found]:
    """Checkpoints are asked for and none are made."""
    if case.config.saving.save_strategy != "no":
        return
    if case.config.tracking.wandb_log_model == "checkpoint" and case.asked("wandb_project"):
        yield Found(
            "warning",
            "wandb_log_model",
            "wandb_log_model: checkpoint: no checkpoints are saved, so only the result is logged",
            "write `end`, or let checkpoints be saved: remove `save_strategy: no`",
        )
    if case.asked("hub_model_id") and case.config.hub.hub_strategy != "end":
        yield Found(
            "warning",
            "hub_model_id",
            "hub_model_id: no checkpoints are saved, so only the result is sent to the hub",
            "write `hub_strategy: end`, or let checkpoints be saved: remove `save_strategy: no`",
        )


def hub_names(case: Case) -> Iterator[Found]:
    """What the hub takes for a name."""
    name = case.config.hub.hub_model_id
    if name is None:
        return
    wrong = not _HUB_NAME.fullmatch(name) or "--" in name or ".." in name or name.endswith(".git")
    if wrong or len(name) > _LONGEST_HUB_NAME:
        yield Found(
            "error",
            "hub_model_id",
            f"hub_model_id: '{name}' is no name of a repository on the hub",
            "write OWNER/NAME, with letters, digits, `-`, `_` and `.`",
        )


TABLE: Table = [
    (trackers_are_there, "wandb_project wandb_mode use_tensorboard use_mlflow"),
    (wandb_is_off, "wandb_mode wandb_project"),
    (wandb_ids, "wandb_run_id"),
    (models_to_log, "wandb_log_model hub_model_id hub_strategy save_strategy"),
    (hub_names, "hub_model_id"),
]
