"""What is trained on, and how it is prepared."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from axolotl.config.section import CountOrShare, Section


class DatasetSource(Section):
    """One entry of `datasets`."""

    path: str = Field(
        min_length=1,
        description="A local file or folder, a hub data set, or a builder name (`json`, `csv`, "
        "`parquet`, `text`, `arrow`) with `data_files`; a local path wins over a hub name.",
    )
    type: str | None = Field(
        default=None,
        description="How a row becomes text, such as `alpaca` or `completion`; leave it out for rows "
        "that are tokenized already.",
        json_schema_extra={"later": ["a mapping"]},
    )
    ds_type: Literal["json", "arrow", "parquet", "text", "csv"] | None = Field(
        default=None,
        description="Kind of the local file; by default its name says it, else JSON Lines.",
    )
    data_files: str | list[str] | None = Field(
        default=None,
        description="Files to read from a folder or hub repository; by default all of them.",
    )
    data_dir: str | None = Field(
        default=None, description="Sub-folder of a folder or hub repository to read from."
    )
    name: str | None = Field(
        default=None,
        description="Name of the configuration (subset) of a hub data set.",
        json_schema_extra={"later": ["a list"]},
    )
    train_on_split: str = Field(
        default="train", description="Split to train on, where the data set has several."
    )
    revision: str | None = Field(
        default=None, description="Branch, tag or commit of the data set's hub repository."
    )
    field: str | None = Field(
        default=None, description="Column with the text, for `type: completion`; `text` by default."
    )


class DataSection(Section):
    """What is trained on, and how it is prepared."""

    datasets: list[DatasetSource] = Field(
        min_length=1, description="Sources of training data; all are put together and shuffled."
    )
    dataset_prepared_path: str = Field(
        default="last_run_prepared",
        min_length=1,
        description="Folder that keeps prepared tokens, each preparation in a sub-folder named by a "
        "hash of all that changes it.",
    )
    val_set_size: CountOrShare = Field(
        default=0,
        ge=0,
        description="Rows held out for evaluation: a share below 1, or a number of rows; 0 for none.",
    )
    train_on_inputs: bool = Field(
        default=False, description="Train on the prompt too, instead of only on the answer."
    )
    dataset_processes: int | None = Field(
        default=None,
        ge=1,
        description="Has no effect: one process prepares the data, on all processors; accepted for files that "
        "have it.",
    )
