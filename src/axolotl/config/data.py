"""What is trained on, and how it is prepared."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from axolotl.config.section import CountOrShare, Section


class CustomPrompt(Section):
    """A mapping in the place of `type`: prompts by own templates."""

    system_prompt: str = Field(
        default="", description="System text of rows that bring none of their own."
    )
    system_format: str = Field(
        default="{system}",
        description="What the system text is put into; left out where there is no text.",
    )
    field_system: str = Field(
        default="system", description="Column with the row's own system text, which wins."
    )
    field_instruction: str = Field(
        default="instruction", description="Column with the instruction; every row needs it."
    )
    field_input: str = Field(default="input", description="Column with the input; may be empty.")
    field_output: str = Field(default="output", description="Column with the answer.")
    format: str = Field(
        default="{instruction} {input} ",
        description="Prompt of a row with an input; braces that are meant as such are doubled.",
    )
    no_input_format: str = Field(
        default="{instruction} ", description="Prompt of a row without an input."
    )


class DatasetSource(Section):
    """One entry of `datasets`."""

    path: str = Field(
        min_length=1,
        description="A local file or folder, a hub data set, or a builder name (`json`, `csv`, "
        "`parquet`, `text`, `arrow`) with `data_files`; a local path wins over a hub name.",
    )
    type: str | CustomPrompt | None = Field(
        default=None,
        description="How a row becomes text, such as `alpaca` or `completion`, or a mapping with own "
        "templates; leave it out for rows that are tokenized already.",
        json_schema_extra={"pending": ["a mapping"]},
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
    name: str | list[str] | None = Field(
        default=None,
        description="Name of the configuration (subset) of a hub data set; a list makes one source of "
        "each.",
    )
    shards: int | None = Field(
        default=None,
        ge=1,
        description="Take only one of so many equal parts of the rows, after shuffling them.",
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
    conversation: str | None = Field(
        default=None,
        description="Template of the conversation, for `type: sharegpt`.",
        json_schema_extra={"implied": "`vicuna_v1.1` for sharegpt", "pending": True},
    )
    field_human: str | None = Field(
        default=None,
        description="What marks the user's turns, for `type: sharegpt`; `human` by default.",
        json_schema_extra={"pending": True},
    )
    field_model: str | None = Field(
        default=None,
        description="What marks the model's turns, for `type: sharegpt`; `gpt` by default.",
        json_schema_extra={"pending": True},
    )


class DataSection(Section):
    """What is trained on, and how it is prepared."""

    datasets: list[DatasetSource] = Field(
        default_factory=list[DatasetSource],
        description="Sources of training data; all are put together and shuffled.",
        json_schema_extra={"implied": "required, unless `pretraining_dataset` is set"},
    )
    pretraining_dataset: str | None = Field(
        default=None,
        min_length=1,
        description="Data set whose column `text` is read while training goes on, without being "
        "prepared first.",
        json_schema_extra={"needs": "`max_steps`", "pending": True},
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
    dataset_shard_num: int | None = Field(
        default=None,
        ge=1,
        description="Cut the prepared rows into so many equal parts and use one of them.",
        json_schema_extra={"needs": "`dataset_shard_idx`"},
    )
    dataset_shard_idx: int | None = Field(
        default=None,
        ge=0,
        description="Which of the parts is used; the first is 0.",
        json_schema_extra={"needs": "`dataset_shard_num`"},
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
