"""Data that is read while training goes on, without being prepared first."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from axolotl.config.section import Section


class PretrainingSource(Section):
    """One entry of `pretraining_dataset`."""

    path: str = Field(min_length=1, description="As `path` of `datasets`.")
    name: str | None = Field(default=None, description="As `name` of `datasets`.")
    split: str = Field(default="train", description="The split to read.")
    text_column: str = Field(default="text", description="Column with the text.")
    type: Literal["pretrain", "completion"] | None = Field(
        default=None,
        description="Has no effect: the rows are plain texts; accepted for files that have it.",
    )
    skip: int = Field(default=0, ge=0, description="How many rows at the beginning are left out.")


class StreamingSection(Section):
    """Data that is read while training goes on, without being prepared first."""

    pretraining_dataset: str | list[PretrainingSource] | None = Field(
        default=None,
        description="Data set whose texts are read while training goes on.",
        json_schema_extra={"needs": "`max_steps`"},
    )
    streaming: bool = Field(
        default=False,
        description="Read `datasets` while training goes on, instead of preparing them first.",
        json_schema_extra={"needs": "`max_steps`"},
    )
    streaming_multipack_buffer_size: int = Field(
        default=10_000,
        ge=1,
        description="How many samples are shuffled and packed at a time while reading.",
    )

    @property
    def asked_by(self) -> str | None:
        """The option that has data read while training goes on; None where it is prepared first."""
        if self.pretraining_dataset:
            return "pretraining_dataset"
        return "streaming" if self.streaming else None
