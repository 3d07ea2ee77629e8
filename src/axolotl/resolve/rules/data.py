"""What is trained on."""

from __future__ import annotations

from collections.abc import Iterator

from axolotl.config.sources import DatasetSource
from axolotl.errors import ConfigError, UnknownName
from axolotl.formats import BoundFormat, bind, shared_settings
from axolotl.records import Edit
from axolotl.resolve.case import Case, Found, Table
from axolotl.resolve.later import LATER_TYPES, is_later


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
    entries = [(f"datasets.{number}", one) for number, one in enumerate(data.datasets)]
    entries += [(f"test_datasets.{number}", one) for number, one in enumerate(data.test_datasets)]
    formats: list[BoundFormat] = []
    for key, source in entries:
        if source.type is None:
            yield from _without_a_type(source, key)
        elif not isinstance(source.type, str) or not is_later(source.type, LATER_TYPES):
            try:
                bound = _bind(case, source, key)
            except (ConfigError, UnknownName) as error:
                at = error.key if isinstance(error, ConfigError) else f"{key}.type"
                yield Found("error", at, f"{at}: {error.what}", error.hint or "")
                continue
            formats.append(bound)
            yield from _idle_style(bound, f"{key}.type")
    if formats and len(formats) == len(entries):
        yield from _in_no_format(case, formats)


def _bind(case: Case, source: DatasetSource, key: str) -> BoundFormat:
    kind = source.type
    assert kind is not None, "there is a type"
    return bind(
        kind if isinstance(kind, str) else kind.model_dump(),
        settings=source.settings(),
        shared=shared_settings(case.config),
        key=f"{key}.type",
    )


def _without_a_type(source: DatasetSource, key: str) -> Iterator[Found]:
    for name in source.settings():
        yield Found(
            "warning",
            f"{key}.{name}",
            f"{key}.{name} has no effect without a type",
            "add `type: completion`" if name == "field" else "add the `type` that it is for",
        )


def _idle_style(bound: BoundFormat, key: str) -> Iterator[Found]:
    """A style is accepted where it changes nothing, and that is said."""
    option = bound.module.SUFFIX
    info = bound.module.Options.model_fields[option] if option else None
    plain, style, _ = bound.type.partition(":")
    if style and info and info.json_schema_extra == {"idle": True}:
        yield Found(
            "warning",
            key,
            f"{key}: '{bound.type}' is the same as '{plain}', which has one form",
            f"write `type: {plain}`",
            (Edit("set", key, plain),),
        )


def _in_no_format(case: Case, formats: list[BoundFormat]) -> Iterator[Found]:
    """What is said for all data sets and what none of them has."""
    known = {name for one in formats for name in type(one.options).model_fields}
    data = case.config.data
    if data.train_on_inputs and "train_on_inputs" not in known:
        yield Found(
            "warning",
            "train_on_inputs",
            "train_on_inputs has no effect: no data set has a prompt apart from its answer",
            "remove it",
        )
    if data.prompt_templates != "canonical" and "prompt_templates" not in known:
        yield Found(
            "warning",
            "prompt_templates",
            "prompt_templates has no effect: the text of these types is the same in every wording",
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
    (dataset_types, "datasets test_datasets train_on_inputs prompt_templates"),
    (one_part_of_the_rows, "dataset_shard_num dataset_shard_idx"),
    (token_for_the_hub, "push_dataset_to_hub hf_use_auth_token"),
]
