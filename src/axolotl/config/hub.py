"""What is sent to the Hugging Face hub."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from axolotl.config.section import Section


class HubSection(Section):
    """What is sent to the Hugging Face hub."""

    hub_model_id: str | None = Field(
        default=None,
        min_length=1,
        description="Private model repository on the hub that checkpoints and the result are sent to.",
    )
    hub_strategy: Literal["end", "every_save", "checkpoint", "all_checkpoints"] = Field(
        default="every_save",
        description="What is sent besides the result at the `end`: the model of each new checkpoint "
        "(`every_save`), also the newest checkpoint as `last-checkpoint` to resume from "
        "(`checkpoint`), or every one under its own name (`all_checkpoints`).",
        json_schema_extra={"needs": "`hub_model_id`"},
    )
    push_dataset_to_hub: str | None = Field(
        default=None,
        min_length=1,
        description="Owner on the hub for whom each preparation is kept as a private data set "
        "`<owner>/<key>`, or the name of one data set that keeps each as a configuration `<key>`; "
        "prepared data is looked for there first, and sent there once it is made.",
        json_schema_extra={"needs": "`hf_use_auth_token: true`"},
    )
