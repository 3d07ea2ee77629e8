"""Conversations through a chat template: that of the tokenizer, a named one, or one of your own.

A row has a list of turns under `messages` or `conversations`, in the manner of OpenAI (`role`,
`content`) or of ShareGPT (`from`, `value`); `field_messages` and `message_property_mappings` name
others. OpenAI's older `function_call` is read as one of `tool_calls`, and the role `function` as
`tool`. The template writes all of the text: begin tokens, ends of turns and what stands between. What
the assistant says is trained, with its reasoning and its calls of tools, up to and including the
token that ends the turn; what stands in front of it and behind that token is masked.
`roles_to_train`, `message_field_training` and `message_field_training_detail` choose otherwise, the
last and a content in parts down to single characters; characters that are not spoken of go with their
turn, and so does the token that ends it, which in a masked turn is trained if some of the characters
are. Names in `roles` are known besides the usual ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field, model_validator

from axolotl.errors import ConfigError, DataError
from axolotl.formats._chat_ready import Ready, end_tokens, make_ready
from axolotl.formats._chat_remarks import check_silent_turns, oddities, of_text
from axolotl.formats._details import placed_parts
from axolotl.formats._masks import Ends, chat_segments
from axolotl.formats._messages import REASONING, Chat, Reading, read_chat
from axolotl.records import Segment, TokenizerFacts
from axolotl.registry import nearest
from axolotl.templates.choice import chosen_template
from axolotl.templates.places import Rendered
from axolotl.templates.render import compile_template

SUFFIX = None
VARIANT = None
LONG_ROWS: Literal["drop", "split"] = "drop"

ROLES: Mapping[str, tuple[str, ...]] = {
    "user": ("human", "user"),
    "assistant": ("gpt", "assistant"),
    "system": ("system",),
    "tool": ("tool", "function"),
}


@dataclass
class LastRead:
    """A row, the conversation that was read from it, and its text."""

    row: Mapping[str, Any] | None = None
    chat: Chat | None = None
    said: Rendered | None = None


_OF_THE_ROW = {"messages", "tools", "add_generation_prompt"}
"""What a template is told by the row, or by what it is asked for."""


class Options(BaseModel):
    """What a dataset entry may say about this format."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    chat_template: str | None = Field(
        None,
        description="Which template: `tokenizer_default`, "
        "`tokenizer_default_fallback_NAME`, `jinja`, or a name; that of the tokenizer by default",
    )
    chat_template_jinja: str | None = Field(
        None, description="The template itself, or the path of a `.jinja` or `.jinja2` file"
    )
    chat_template_kwargs: Mapping[str, Any] | None = Field(
        None, description="Further variables of the template"
    )
    eot_tokens: tuple[str, ...] | None = Field(
        None, description="Tokens that end a turn besides the end token and the template's own"
    )
    field_messages: str | None = Field(
        None, description="Column with the turns; `messages` or `conversations` by default"
    )
    message_property_mappings: Mapping[str, str] | None = Field(
        None,
        description="What the template calls a property of a turn ← what the row calls it; `role` and "
        "`content`, or `from` and `value`, need none",
    )
    message_field_role: str | None = Field(
        None, description="Old way to write `message_property_mappings: {role: …}`"
    )
    message_field_content: str | None = Field(
        None, description="Old way to write `message_property_mappings: {content: …}`"
    )
    roles: Mapping[str, tuple[str, ...]] = Field(
        default_factory=dict[str, tuple[str, ...]],
        description="Role of the template ← further names that rows have for it; known are human and "
        "user, gpt and assistant, system, tool",
    )
    roles_to_train: tuple[str, ...] = Field(
        ("assistant",), description="Roles whose turns are trained"
    )
    train_on_eos: Ends = Field(
        "turn",
        description="Which end tokens are trained: those that end a trained turn, `all`, the `last` of "
        "the conversation, or `none`",
    )
    train_on_eot: Ends | None = Field(
        None, description="The same for other tokens that end a turn; as `train_on_eos` by default"
    )
    message_field_training: str | None = Field(
        None,
        description="Key of a turn that says whether it is trained; wins over `roles_to_train`",
    )
    message_field_training_detail: str | None = Field(
        None,
        description="Key of a turn with `[{begin_offset, end_offset, train}]`: which of its "
        "characters are trained, the one at `end_offset` included",
    )
    field_tools: str = Field(
        "tools", description="Column with the tools, a list or JSON text of one"
    )
    field_thinking: str = Field(REASONING[0], description="Key of a turn with its reasoning")
    template_thinking_key: str = Field(
        REASONING[0], description="What the template calls the reasoning"
    )
    split_thinking: bool = Field(
        False, description="Take reasoning between <think> and </think> out of the content"
    )
    drop_system_message: bool = Field(False, description="Leave system turns out")
    field_system: str | None = Field(
        None, description="Column with a system text that is put first"
    )
    # What decides of it is in `template_text`; the rest is part of what the tokenizer is.
    tokenizer: TokenizerFacts | None = Field(
        None, description="What there is to know of the tokenizer", exclude=True
    )

    @model_validator(mode="after")
    def _must_make_sense(self) -> Options:
        for role in self.roles_to_train:
            if role not in self.reading.roles and role not in self.reading.roles.values():
                close = nearest(role, self.reading.roles)
                raise ConfigError(
                    "roles_to_train",
                    f"roles_to_train: no role is called '{role}'",
                    hint=f"did you mean '{close}'?" if close else "name it in `roles` too",
                )
        for name in _OF_THE_ROW & (self.chat_template_kwargs or {}).keys():
            raise ConfigError(
                "chat_template_kwargs",
                f"chat_template_kwargs.{name}: each row has its own",
                hint=f"take `{name}` out",
            )
        end_tokens(self.tokenizer, self.eot_tokens or ())
        text = self.template_text
        if self.tokenizer is not None:
            self._ask_template()
        elif text is not None and self.chat_template_jinja:
            compile_template(text)
        return self

    def _ask_template(self) -> None:
        """Find the faults of the template now, and not with the first row."""
        try:
            _ = self.ready
        except ConfigError as error:
            if self.chat_template_jinja is not None and error.key == "chat_template":
                error.key = "chat_template_jinja"
            raise

    @computed_field
    @cached_property
    def template_text(self) -> str | None:
        """The template, as far as it is known without a tokenizer."""
        return chosen_template(
            self.chat_template,
            self.chat_template_jinja,
            own=self.tokenizer.chat_template if self.tokenizer else None,
            known=self.tokenizer is not None,
        )

    @cached_property
    def reading(self) -> Reading:
        """How rows are read."""
        names = dict(self.message_property_mappings or {})
        for name, old in (
            ("role", self.message_field_role),
            ("content", self.message_field_content),
        ):
            if old is not None and names.setdefault(name, old) != old:
                raise ConfigError(
                    f"message_field_{name}",
                    f"`message_field_{name}: {old}` and `message_property_mappings: {{{name}: "
                    f"{names[name]}}}` disagree",
                    hint=f"remove message_field_{name}",
                )
        role, content = names.pop("role", None), names.pop("content", None)
        roles = {source: target for target, known in ROLES.items() for source in known}
        roles |= {target: target for target in self.roles}
        for target, sources in self.roles.items():
            roles |= dict.fromkeys(sources, target)
        return Reading(
            messages=(self.field_messages,)
            if self.field_messages
            else ("messages", "conversations"),
            role=(role,) if role else ("role", "from"),
            content=(content,) if content else ("content", "value"),
            names={source: target for target, source in names.items()},
            roles=roles,
            trained=frozenset(roles.get(role, role) for role in self.roles_to_train),
            training=self.message_field_training,
            detail=self.message_field_training_detail,
            tools=self.field_tools,
            thinking=(self.field_thinking, self.template_thinking_key),
            split_thinking=self.split_thinking,
            drop_system=self.drop_system_message,
            system=self.field_system,
        )

    @cached_property
    def last(self) -> LastRead:
        """The row that was read last, which is mostly the one that remarks are asked for."""
        return LastRead()

    @cached_property
    def ready(self) -> Ready:
        """The template and what it does, found out by asking it."""
        return make_ready(
            template_of(self),
            self.tokenizer,
            kwargs=self.chat_template_kwargs or {},
            eot_tokens=self.eot_tokens or (),
            train_on_eos=self.train_on_eos,
            train_on_eot=self.train_on_eot or self.train_on_eos,
            roles=self.roles.keys() - ROLES.keys(),
        )


def template_of(options: Options) -> str:
    """The text of the chat template that is used, for the tokenizer that is saved with a result.

    Raises:
        ConfigError: it is that of the tokenizer, and there is none.
    """
    text = options.template_text
    if text is None:
        raise ConfigError(
            "chat_template", "the chat template is that of the tokenizer, and none is loaded"
        )
    return text


def fields(options: Options) -> tuple[str, ...]:
    """Fields that every row must have; turns stand under one of two names where none is given."""
    return (options.field_messages,) if options.field_messages else ()


def segments(row: Mapping[str, Any], options: Options) -> list[Segment]:
    """The conversation of one row.

    Raises:
        DataError: it has no turns, one that cannot be read, or the template does not take it.

    >>> chatml = Options(chat_template="chatml")
    >>> talk = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Yes?"}]
    >>> [part.text for part in segments({"messages": talk}, chatml) if part.train]
    ['Yes?<|im_end|>']
    """
    ready, chat, last = options.ready, read_chat(row, options.reading), options.last
    last.row = None
    said = ready.template.place(chat.messages, ready.variables, tools=chat.tools)
    check_silent_turns(chat, said, ready.shape)
    last.row, last.chat, last.said = row, chat, said
    parts = None
    if chat.parts:
        parts = placed_parts(
            chat.messages,
            chat.parts,
            said.text,
            lambda messages: ready.template.render(messages, ready.variables, tools=chat.tools),
        )
    return chat_segments(chat, said, ready.shape, ready.ends, parts=parts)


def prompt(text: str, options: Options) -> list[Segment]:
    """What stands before the answer to a plain question."""
    ready = options.ready
    messages = [{"role": "user", "content": text}]
    return [Segment(ready.template.render(messages, ready.variables, prompt=True), False)]


def conversation(
    messages: Sequence[Mapping[str, Any]], options: Options, tools: Sequence[Any] | None = None
) -> list[Segment]:
    """What stands before the next answer in a conversation, written in the manner of OpenAI.

    Raises:
        DataError: a message cannot be read, or the template does not take it.
    """
    row = {"messages": list(messages), **({"tools": list(tools)} if tools else {})}
    usual = options.reading._replace(
        messages=("messages",),
        role=("role",),
        content=("content",),
        training=None,
        detail=None,
        tools="tools",
        system=None,
    )
    return _asked(read_chat(row, usual), options, drop_answer=False)


def asked(row: Mapping[str, Any], options: Options) -> list[Segment]:
    """What stands before the answer that a row ends with, or that is to come."""
    return _asked(read_chat(row, options.reading), options, drop_answer=True)


def _asked(chat: Chat, options: Options, *, drop_answer: bool) -> list[Segment]:
    ready, messages = options.ready, chat.messages
    if messages[-1]["role"] == "assistant":
        if not drop_answer or len(messages) == 1:
            raise DataError(
                "the last message is an answer", hint="let the last message be the user's"
            )
        messages = messages[:-1]
    text = ready.template.render(messages, ready.variables, tools=chat.tools, prompt=True)
    return [Segment(text, False)]


def remarks(row: Mapping[str, Any], options: Options) -> list[str]:
    """What is odd about a row that is used as it is."""
    ready, last = options.ready, options.last
    chat, said = last.chat, last.said
    if last.row is not row or chat is None or said is None:
        chat = read_chat(row, options.reading)
        said = ready.template.place(chat.messages, ready.variables, tools=chat.tools)
    found = [*oddities(chat), *ready.once]
    return found + of_text(chat, said, ready, options.template_thinking_key)
