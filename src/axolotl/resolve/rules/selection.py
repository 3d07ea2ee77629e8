"""Which rows are trained and which evaluated, how often and in which order."""

from __future__ import annotations

from collections.abc import Iterator

from axolotl.records import Edit
from axolotl.resolve.case import Case, Found, Table


def data_to_evaluate_on(case: Case) -> Iterator[Found]:
    """Rows to evaluate on are held out, or have data sets of their own."""
    data = case.config.data
    if not data.test_datasets:
        return
    if data.val_set_size:
        yield Found(
            "error",
            "val_set_size",
            "val_set_size and test_datasets exclude each other: rows to evaluate on are held out, or "
            "come from data sets of their own",
            "remove one of the two",
        )
    for number, entry in enumerate(data.test_datasets):
        if entry.weight != 1:
            key = f"test_datasets.{number}.weight"
            yield Found(
                "warning",
                key,
                f"{key} has no effect: rows to evaluate on are taken once each",
                "remove it",
                (Edit("remove", key),),
            )
    if data.dataset_shard_num is not None:
        yield Found(
            "info",
            "dataset_shard_num",
            "dataset_shard_num cuts the rows to train on; each part is evaluated on all of "
            "test_datasets",
            "give them `shards` to evaluate on fewer",
        )


def one_shard_of_a_data_set(case: Case) -> Iterator[Found]:
    """`shards_idx` is one of the `shards`."""
    data = case.config.data
    lists = {"datasets": data.datasets, "test_datasets": data.test_datasets}
    for name, entries in lists.items():
        for number, entry in enumerate(entries):
            key = f"{name}.{number}.shards_idx"
            if entry.shards_idx is None:
                continue
            if entry.shards is None:
                yield Found("error", key, f"{key} needs shards", "add `shards`, or remove it")
            elif entry.shards_idx >= entry.shards:
                yield Found(
                    "error",
                    key,
                    f"{key}: {entry.shards_idx} is none of the {entry.shards} parts, which are counted "
                    "from 0",
                    f"write a number from 0 to {entry.shards - 1}",
                )


def order_of_rows(case: Case) -> Iterator[Found]:
    """Rows in the order of the data are neither sorted nor put where they fit best."""
    config = case.config
    rows = config.rows
    if not rows.curriculum_sampling:
        return
    if config.training.group_by_length and not case.packs:
        yield Found(
            "error",
            "group_by_length",
            "group_by_length and curriculum_sampling exclude each other: rows are trained by length, or "
            "in their order",
            "remove one of the two",
        )
    if case.packs and config.written.get("sample_packing_sequentially") is False:
        yield Found(
            "error",
            "sample_packing_sequentially",
            "sample_packing_sequentially: false does not go with curriculum_sampling: samples that are "
            "put where they fit best have no order",
            "remove one of the two",
        )
    for key in case.asked("shuffle_merged_datasets", "shuffle_before_merging_datasets"):
        yield Found(
            "warning",
            key,
            f"{key}: with curriculum_sampling the rows are shuffled once, and trained in that order in "
            "every epoch",
            f"remove {key} to keep the order of the data, or curriculum_sampling to shuffle anew",
        )


TABLE: Table = [
    (data_to_evaluate_on, "test_datasets val_set_size dataset_shard_num"),
    (one_shard_of_a_data_set, "datasets test_datasets"),
    (
        order_of_rows,
        "curriculum_sampling group_by_length sample_packing sample_packing_sequentially "
        "shuffle_merged_datasets shuffle_before_merging_datasets",
    ),
]
