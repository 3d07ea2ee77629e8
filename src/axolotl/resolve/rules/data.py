"""What is trained on."""

from __future__ import annotations

from collections.abc import Iterator

from axolotl.errors import ConfigError, UnknownName
from axolotl.formats import BoundFormat, bind, shared_settings
from axolotl.resolve.case import Case, Found, Table
from axolotl.resolve.later import is_later_type


def something_to_train_on(case: Case) -> Iterator[Found]:
    """There are data sets, prepared first or read while training goes on."""
    data = case.config.data
    if not data.datasets and not case.config.streaming.pretraining_dataset:
        yield Found(
            "error",
            "datasets",
            "datasets is missing: sources of training data",
            "add `datasets:` with a line `  - path: …` and a line `    type: …` below it",
        )
    if data.datasets and case.config.streaming.pretraining_dataset:
        yield Found(
            "error",
            "pretraining_dataset",
            "pretraining_dataset and datasets exclude each other: it is read instead of them",
            "remove one of the two",
        )


def dataset_types(case: Case) -> Iterator[Found]:
    """Every `type` is a format, and has the settings that its entry gives."""
    data = case.config.data
    bound: list[BoundFormat] = []
    for number, source in enumerate(data.datasets):
        key = f"datasets.{number}.type"
        if source.type is None:
            if source.field is not None:
                yield Found(
                    "warning",
                    f"datasets.{number}.field",
                    f"datasets.{number}.field has no effect without a type",
                    "add `type: completion`",
                )
            continue
        if not isinstance(source.type, str) or is_later_type(source.type):
            continue  # `not_yet` speaks of it
        try:
            bound.append(
                bind(
                    source.type,
                    settings=source.settings(),
                    shared=shared_settings(case.config),
                    key=key,
                )
            )
        except UnknownName as error:
            yield Found("error", key, f"{key}: {error.what}", error.hint or "")
        except ConfigError as error:
            yield Found("error", key, f"{key}: {error.what}", error.hint or "")
    knows = [b for b in bound if "train_on_inputs" in type(b.options).model_fields]
    if data.train_on_inputs and bound and len(bound) == len(data.datasets) and not knows:
        yield Found(
            "warning",
            "train_on_inputs",
            "train_on_inputs has no effect: no data set has a prompt apart from its answer",
            "remove it",
        )


def streaming(case: Case) -> Iterator[Found]:
    """Data that is read while training goes on has no known length and no held-out rows."""
    config = case.config
    if not config.streaming.pretraining_dataset:
        return
    if config.training.max_steps is None:
        yield Found(
            "error",
            "pretraining_dataset",
            "pretraining_dataset needs max_steps: nobody knows how long the data set is",
            "add `max_steps: 1000`",
        )
    if config.training.group_by_length:
        yield Found(
            "warning",
            "group_by_length",
            "group_by_length has no effect: the data set is read in its own order",
            "remove it",
        )
    if config.data.val_set_size:
        yield Found(
            "error",
            "val_set_size",
            "val_set_size: no rows can be held out of pretraining_dataset",
            "remove it",
        )


def one_part_of_the_rows(case: Case) -> Iterator[Found]:
    """A part of the rows is named by how many there are and which it is."""
    data = case.config.data
    number, index = data.dataset_shard_num, data.dataset_shard_idx
    if (number is None) != (index is None):
        key, other = (
            ("dataset_shard_num", "dataset_shard_idx")
            if index is None
            else ("dataset_shard_idx", "dataset_shard_num")
        )
        yield Found("error", key, f"{key} needs {other}", f"add {other}, or remove {key}")
    if number is not None and index is not None and index >= number:
        yield Found(
            "error",
            "dataset_shard_idx",
            f"dataset_shard_idx: {index} is none of the {number} parts, which are counted from 0",
            f"write a number from 0 to {number - 1}",
        )


def token_for_the_hub(case: Case) -> Iterator[Found]:
    """What is sent to the hub needs the user's token."""
    config = case.config
    if config.hub.push_dataset_to_hub and config.model.hf_use_auth_token is not True:
        yield Found(
            "error",
            "push_dataset_to_hub",
            "push_dataset_to_hub needs the hub token",
            "add `hf_use_auth_token: true`, and log in with `hf auth login`",
        )


TABLE: Table = [
    (something_to_train_on, "datasets pretraining_dataset"),
    (dataset_types, "datasets train_on_inputs"),
    (streaming, "pretraining_dataset max_steps group_by_length val_set_size"),
    (one_part_of_the_rows, "dataset_shard_num dataset_shard_idx"),
    (token_for_the_hub, "push_dataset_to_hub hf_use_auth_token"),
]
