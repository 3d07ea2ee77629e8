"""What formats of the conversation templates of old have in common.

Each turn is tokenized by itself. Only what the model says is trained, with the separator behind it
and an end token; the name in front of it is masked up to its last letter, so the blank behind
`ASSISTANT:` belongs to the answer. Where the separator holds the end token of the tokenizer, that one
ends the turn, and what stands behind it is masked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from pydantic import BaseModel, ConfigDict, Field, field_validator

from axolotl.config.sources import PromptTemplates
from axolotl.records import Segment, TokenizerFacts
from axolotl.templates.conversation import Conversation, Part, Turn, answer_end, render
from axolotl.templates.conversations import TEMPLATES, conversation_named

DEFAULT = "vicuna_v1.1"
_MARK = re.compile(r"<[^<>\s]+>")
"""What looks like the text of a token."""


class Conversing(BaseModel):
    """Options of a format that a conversation template makes text of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    conversation: str = Field(
        DEFAULT, description=f"Template of the conversation, one of: {', '.join(TEMPLATES)}"
    )
    prompt_templates: PromptTemplates = Field(
        "canonical",
        description="With `2023-10` chatml has two line breaks behind a turn, an end token comes "
        "behind every separator, and only a system part has a begin token",
    )
    # What it says of the end token is part of what the tokenizer is, not of what the format is.
    tokenizer: TokenizerFacts | None = Field(
        None, description="What there is to know of the tokenizer", exclude=True
    )

    @field_validator("conversation")
    @classmethod
    def _must_be_known(cls, name: str) -> str:
        conversation_named(name)
        return name

    @property
    def as_in_2023(self) -> bool:
        """Whether the text is that of the release of October 2023."""
        return self.prompt_templates == "2023-10"


def conversation_segments(
    turns: Sequence[Turn],
    options: Conversing,
    *,
    system: str | None = None,
    roles: tuple[str, str] | None = None,
) -> list[Segment]:
    """The segments of a conversation.

    Args:
        turns: What is said, in order.
        options: Which template.
        system: The system text; None for that of the template.
        roles: What the user and the model are called; None for the names of the template.

    >>> said = [Turn("user", "Hi."), Turn("model", "Hello.")]
    >>> [(s.text, s.train) for s in conversation_segments(said, Conversing(), system="Be brief.")]
    [('Be brief. ', False), ('USER: Hi. ', False), ('ASSISTANT:', False), (' Hello.</s>', True)]
    """
    old = options.as_in_2023
    end_token = None if old or options.tokenizer is None else _end_token(options.tokenizer)
    segments: list[Segment] = []
    for part in render(_template(options), turns, system=system, roles=roles):
        bos = part.speaker is None if old else not segments
        if part.speaker == "model":
            segments += _answer(part, end_token, bos=bos)
        else:
            segments.append(Segment(part.prefix + part.message + part.end, False, bos=bos))
    return segments


def conversation_prompt(
    turns: Sequence[Turn],
    options: Conversing,
    *,
    system: str | None = None,
    roles: tuple[str, str] | None = None,
) -> list[Segment]:
    """What stands before the next answer; arguments as of `conversation_segments`."""
    open_end = [*turns, Turn("model", "")]
    asked = conversation_segments(open_end, options, system=system, roles=roles)
    name = max(number for number, segment in enumerate(asked) if segment.train) - 1
    return asked[: name + 1]


def letters_for_tokens(options: Conversing) -> list[str]:
    """What there is to say where the template ends an answer with a token that there is not.

    >>> letters_for_tokens(Conversing())
    []
    """
    whole = options.tokenizer.whole_tokens if options.tokenizer else None
    marks = _MARK.findall(answer_end(_template(options))) if whole is not None else []
    return [
        f"{mark} of the template is no token of this tokenizer, its letters are trained"
        for mark in marks
        if mark not in (whole or ())
    ]


def _answer(part: Part, end_token: str | None, *, bos: bool) -> list[Segment]:
    name = part.prefix.rstrip()
    end, behind = part.end, ""
    if end_token and end_token in end:
        cut = end.index(end_token) + len(end_token)
        end, behind = end[:cut], end[cut:]
    said = part.prefix[len(name) :] + part.message + end
    answer = [Segment(name, False, bos=bos), Segment(said, True, eos=1, joined=True)]
    return [*answer, Segment(behind, False, joined=True)] if behind else answer


def _template(options: Conversing) -> Conversation:
    return _in_wording(options.conversation, old=options.as_in_2023)


@cache
def _in_wording(name: str, *, old: bool) -> Conversation:
    template = conversation_named(name)
    return replace(template, sep=template.old_sep) if old and template.old_sep else template


def _end_token(facts: TokenizerFacts) -> str | None:
    return facts.special_tokens.get("eos_token")
