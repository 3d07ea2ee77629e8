"""Chat templates: how a conversation becomes text."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from axolotl.config.section import Section


class ChatSection(Section):
    """Chat templates: how a conversation becomes text."""

    chat_template: str | None = Field(
        default=None,
        description="Template of data sets with `type: chat_template`: `tokenizer_default`, "
        "`tokenizer_default_fallback_NAME`, `jinja`, or a named one; saved with the tokenizer.",
        json_schema_extra={"implied": "`tokenizer_default`"},
    )
    chat_template_jinja: str | None = Field(
        default=None,
        description="The template itself, or the path of a file ending in `.jinja` or `.jinja2`.",
    )
    chat_template_kwargs: dict[str, Any] | None = Field(
        default=None,
        description="Further variables of the template, such as `enable_thinking: false`.",
    )
    eot_tokens: list[str] | None = Field(
        default=None,
        description="Tokens that end a turn, besides the end token; each must be one token of the "
        "tokenizer.",
        json_schema_extra={"implied": "what the template puts behind an answer"},
    )
