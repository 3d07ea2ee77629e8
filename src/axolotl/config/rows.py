"""Which rows are kept, and in which order they are trained."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from axolotl.config.section import Section


class RowsSection(Section):
    """Which rows are kept, and in which order they are trained."""

    excess_length_strategy: Literal["drop", "truncate", "raise"] = Field(
        default="drop",
        description="What becomes of a row longer than `sequence_len`: it is dropped and counted, cut "
        "to that length and counted, or an error. Plain text is always split.",
    )
    min_sample_len: int | None = Field(
        default=None,
        ge=1,
        description="Shortest row in tokens; shorter ones are dropped and counted.",
    )
    skip_bad_rows: int = Field(
        default=0,
        ge=0,
        description="How many rows that cannot be used are left out, counted and listed, before it is "
        "an error.",
    )
    dataset_exact_deduplication: bool = Field(
        default=False,
        description="Drop rows that are equal in all tokens, among the rows to train on, among those "
        "to evaluate on, and from the former what is among the latter.",
    )
    shuffle_merged_datasets: bool | None = Field(
        default=None,
        description="Shuffle the rows of all data sets after they are put together.",
        json_schema_extra={
            "implied": "true where there are several data sets, unless `curriculum_sampling` is set"
        },
    )
    shuffle_before_merging_datasets: bool = Field(
        default=False,
        description="Shuffle the rows of each data set before they are put together.",
    )
    curriculum_sampling: bool = Field(
        default=False,
        description="Train the rows in the order in which they stand in the data, in every epoch.",
    )
    sample_packing_sequentially: bool = Field(
        default=False,
        description="Fill packed rows with one sample after the other, instead of by what fits best; more "
        "room stays free. The samples are shuffled first, unless `curriculum_sampling` is set.",
        json_schema_extra={
            "needs": "`sample_packing`",
            "implied": "true with `curriculum_sampling` and `sample_packing`",
        },
    )
    dataset_lock: bool = Field(
        default=False,
        description="Keep the hashes of all data files in `data.lock` beside the file, and refuse to "
        "go on when one has changed.",
    )
