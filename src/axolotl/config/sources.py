"""One entry of `datasets`: where rows come from and what becomes of them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from axolotl.config.section import Section

PromptTemplates = Literal["canonical", "2023-10"]
TrainedEnds = Literal["turn", "all", "last", "none"]


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
    field_output: str = Field(
        default="output", description="Column with the answer; every row needs it."
    )
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
        description="A local file or folder, a hub data set, an address (`s3://`, `gs://`, `hf://`, "
        "`https://`), or a builder name (`json`, `csv`, `parquet`, `text`, `arrow`) with "
        "`data_files`; a local path wins over a hub name.",
    )
    type: str | CustomPrompt | None = Field(
        default=None,
        description="How a row becomes text, such as `alpaca`, `chat_template` or `completion`, or a "
        "mapping with own templates; leave it out for rows that are tokenized already.",
    )
    ds_type: Literal["json", "arrow", "parquet", "text", "csv"] | None = Field(
        default=None,
        description="Kind of the files.",
        json_schema_extra={"implied": "what their names and first bytes say, else JSON Lines"},
    )
    data_files: str | list[str] | None = Field(
        default=None,
        description="Files, patterns or addresses to read; names are those of a folder or hub repository, "
        "of which all data files are read by default.",
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
    shards_idx: int | None = Field(
        default=None,
        ge=0,
        description="Which of the `shards` is taken, counted from 0.",
        json_schema_extra={"needs": "`shards`", "implied": "`0`"},
    )
    weight: float = Field(
        default=1.0,
        gt=0,
        description="How often the rows to train on are taken: 2 takes each twice, 0.5 a random half; "
        "with `streaming`, the share of the rows against those of the other data sets.",
    )
    train_on_split: str = Field(
        default="train",
        description="Split to train on, where the data set has several; some rows of it as "
        "`train[:10%]`, `train[100:200]` or `train[-100:]`, several as `train+validation`.",
    )
    revision: str | None = Field(
        default=None, description="Branch, tag or commit of the data set's hub repository."
    )
    field: str | None = Field(
        default=None,
        description="Column with the text, for `type: completion`.",
        json_schema_extra={"implied": "`text`"},
    )
    conversation: str | None = Field(
        default=None,
        description="Template of the conversation, for `type: sharegpt`; the style, for `type: "
        "alpaca_chat`.",
        json_schema_extra={"implied": "`vicuna_v1.1` for sharegpt, `chat` for alpaca_chat"},
    )
    field_human: str | None = Field(
        default=None,
        description="What marks the user's turns, for `type: sharegpt`.",
        json_schema_extra={"implied": "`human`, or `prompter` for sharegpt.load_guanaco"},
    )
    field_model: str | None = Field(
        default=None,
        description="What marks the model's turns, for `type: sharegpt`.",
        json_schema_extra={"implied": "`gpt`, or `assistant` for sharegpt.load_guanaco"},
    )
    prompt_templates: PromptTemplates | None = Field(
        default=None,
        description="Wording of this data set's prompts.",
        json_schema_extra={"implied": "that of the whole file"},
    )
    chat_template: str | None = Field(
        default=None,
        description="Chat template of this data set.",
        json_schema_extra={"implied": "that of the whole file"},
    )
    chat_template_jinja: str | None = Field(
        default=None,
        description="Chat template of this data set as text, or the file that holds it.",
    )
    field_messages: str | None = Field(
        default=None,
        description="Column with the list of turns.",
        json_schema_extra={"implied": "`messages`, or `conversations` where only that is there"},
    )
    message_property_mappings: dict[str, str] | None = Field(
        default=None,
        description="What the template calls a property of a turn ← what the row calls it, such as "
        "`content: value`.",
        json_schema_extra={"implied": "`role` and `content`, or `from` and `value`, as they are"},
    )
    message_field_role: str | None = Field(
        default=None,
        description="Old way to write `message_property_mappings: {role: …}`.",
    )
    message_field_content: str | None = Field(
        default=None,
        description="Old way to write `message_property_mappings: {content: …}`.",
    )
    roles: dict[str, list[str]] | None = Field(
        default=None,
        description="Role of the template ← further names that the rows have for it.",
        json_schema_extra={
            "implied": "human and user, gpt and assistant, system, tool and function are known"
        },
    )
    roles_to_train: list[str] | None = Field(
        default=None,
        description="Roles whose turns are trained.",
        json_schema_extra={"implied": "`[assistant]`"},
    )
    train_on_eos: TrainedEnds | None = Field(
        default=None,
        description="Which end tokens are trained: those that end a trained turn, all, the last of the "
        "conversation, none.",
        json_schema_extra={"implied": "`turn`"},
    )
    train_on_eot: TrainedEnds | None = Field(
        default=None,
        description="The same for the other tokens that end a turn.",
        json_schema_extra={"implied": "as `train_on_eos`"},
    )
    message_field_training: str | None = Field(
        default=None,
        description="Key of a turn that says whether it is trained (true or false).",
    )
    message_field_training_detail: str | None = Field(
        default=None,
        description="Key of a turn that says which characters of it are trained.",
    )
    field_tools: str | None = Field(
        default=None,
        description="Column with the tools that the template is told of.",
        json_schema_extra={"implied": "`tools`"},
    )
    field_thinking: str | None = Field(
        default=None,
        description="Key of a turn that holds its reasoning.",
        json_schema_extra={"implied": "`reasoning_content`"},
    )
    template_thinking_key: str | None = Field(
        default=None,
        description="What the template calls the reasoning.",
        json_schema_extra={"implied": "`reasoning_content`"},
    )
    split_thinking: bool | None = Field(
        default=None,
        description="Take reasoning between `<think>` and `</think>` out of the content and hand it to "
        "the template as such.",
        json_schema_extra={"implied": "`false`"},
    )
    drop_system_message: bool | None = Field(
        default=None,
        description="Leave the system turn out.",
        json_schema_extra={"implied": "`false`"},
    )
    field_system: str | None = Field(
        default=None,
        description="Column with a system text that is put first, for `type: chat_template`.",
    )

    def settings(self) -> dict[str, Any]:
        """What the entry says to its format, by name; what it does not say is left out."""
        given = {
            name: getattr(self, name) for name in type(self).model_fields if name not in _SOURCE
        }
        return {name: value for name, value in given.items() if value is not None}


_SOURCE = {
    *("path", "type", "ds_type", "data_files", "data_dir", "name", "train_on_split", "revision"),
    *("shards", "shards_idx", "weight"),
}
"""What of an entry says which rows there are; the rest is for the format."""
