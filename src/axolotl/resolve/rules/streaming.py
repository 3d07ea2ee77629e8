"""Data that is read while training goes on."""

from __future__ import annotations

from collections.abc import Iterator

from axolotl.resolve.case import Case, Found, Table

_ORDER = {
    "group_by_length": "the data is read in its own order",
    "shuffle_merged_datasets": "the entries take turns",
    "shuffle_before_merging_datasets": "the samples of a buffer are shuffled",
    "dataset_prepared_path": "nothing is prepared",
    "num_epochs": "max_steps says how long the training is",
}
_WHOLE = {
    "dataset_exact_deduplication": "equal rows can only be found in data that is prepared first",
    "dataset_shard_num": "data that is read while training goes on has no known length",
    "push_dataset_to_hub": "nothing is prepared that could be sent",
    "dataset_lock": "files that are read while training goes on are not hashed",
}


def streaming(case: Case) -> Iterator[Found]:
    """Data that is read while training goes on has no known length and no held-out rows."""
    config = case.config
    key = config.streaming.asked_by
    if key is None:
        return
    if config.training.max_steps is None:
        yield Found(
            "error",
            key,
            f"{key} needs max_steps: nobody knows how long the data is",
            "add `max_steps: 1000`",
        )
    if config.data.val_set_size:
        yield Found(
            "error",
            "val_set_size",
            f"val_set_size: no rows can be held out of data that is read by {key}",
            "remove it, or name rows to evaluate on in test_datasets",
        )
    for name in case.asked(*_WHOLE):
        yield Found(
            "error", name, f"{name} does not go with {key}: {_WHOLE[name]}", f"remove {name}"
        )
    for number, entry in enumerate(config.data.datasets):
        if entry.shards:
            yield Found(
                "error",
                f"datasets.{number}.shards",
                f"datasets.{number}.shards does not go with {key}: the rows are not counted first",
                "remove it, or take part of the rows by `train_on_split: train[:10%]`",
            )


def order_of_a_stream(case: Case) -> Iterator[Found]:
    """What orders prepared rows, or says how often they are trained, orders no stream."""
    key = case.config.streaming.asked_by
    if key is None:
        return
    for name in case.asked(*_ORDER):
        yield Found(
            "warning", name, f"{name} has no effect with {key}: {_ORDER[name]}", "remove it"
        )


def buffer_of_a_stream(case: Case) -> Iterator[Found]:
    """Only a stream has a buffer."""
    name = "streaming_multipack_buffer_size"
    if case.config.streaming.asked_by is None and case.asked(name):
        yield Found(
            "warning",
            name,
            f"{name} has no effect: the data is prepared first",
            "remove it, or add `streaming: true`",
        )


TABLE: Table = [
    (
        streaming,
        "pretraining_dataset streaming max_steps val_set_size datasets " + " ".join(_WHOLE),
    ),
    (order_of_a_stream, "pretraining_dataset streaming " + " ".join(_ORDER)),
    (buffer_of_a_stream, "streaming_multipack_buffer_size streaming pretraining_dataset"),
]
