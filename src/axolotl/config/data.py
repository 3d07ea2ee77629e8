"""What is trained on, and how it is prepared."""

from __future__ import annotations

from pydantic import Field

from axolotl.config.section import CountOrShare, Section
from axolotl.config.sources import DatasetSource, PromptTemplates


class DataSection(Section):
    """What is trained on, and how it is prepared."""

    datasets: list[DatasetSource] = Field(
        default_factory=list[DatasetSource],
        description="Sources of training data; all are put together and shuffled.",
        json_schema_extra={"implied": "required, unless `pretraining_dataset` is set"},
    )
    test_datasets: list[DatasetSource] = Field(
        default_factory=list[DatasetSource],
        description="Sources of the rows to evaluate on, in place of a part held out of `datasets`.",
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
    prompt_templates: PromptTemplates = Field(
        default="canonical",
        description="Wording of the prompts: the one in common use, or that of the release of October "
        "2023, faults included, for models trained with it.",
    )
    dataset_processes: int | None = Field(
        default=None,
        ge=1,
        description="Has no effect: one process prepares the data, on all processors; accepted for files that "
        "have it.",
    )

    @property
    def evaluates(self) -> bool:
        """Whether there are rows to evaluate on."""
        return bool(self.val_set_size or self.test_datasets)

    @property
    def has_several(self) -> bool:
        """Whether the rows are of several data sets; each name of a hub data set is one."""
        names = [entry.name for entry in self.datasets]
        return sum(len(name) if isinstance(name, list) else 1 for name in names) > 1
