"""What is read from the Hugging Face hub with the user's own rights, and what is sent there."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from axolotl.config.section import Section


class HubSection(Section):
    """What is read from the Hugging Face hub with the user's own rights, and what is sent there."""

    hf_use_auth_token: bool | None = Field(
        default=None,
        description="Send the stored hub token when models and data are fetched: `true` insists on "
        "one, `false` sends none, unset sends one if there is one.",
    )
    hub_model_id: str | None = Field(
        default=None,
        min_length=1,
        description="Private model repository on the hub that checkpoints and the result are sent to.",
        json_schema_extra={"pending": True},
    )
    hub_strategy: Literal["end", "every_save", "checkpoint", "all_checkpoints"] = Field(
        default="every_save",
        description="What is sent to the hub, and when.",
        json_schema_extra={"needs": "`hub_model_id`"},
    )
    push_dataset_to_hub: str | None = Field(
        default=None,
        min_length=1,
        description="Hub name under which the prepared data is kept as a private data set, and looked "
        "for before it is prepared.",
        json_schema_extra={"needs": "`hf_use_auth_token: true`", "pending": True},
    )
