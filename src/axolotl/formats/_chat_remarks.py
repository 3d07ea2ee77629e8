"""What is odd about a conversation that is used as it is."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from axolotl.errors import DataError
from axolotl.formats._masks import EndRules
from axolotl.formats._messages import REASONING, Chat
from axolotl.formats._turns import EMPTY_TURN, TWO_IN_A_ROW
from axolotl.records import TokenizerFacts
from axolotl.templates.render import ChatTemplate, Rendered
from axolotl.templates.shape import Shape

UNSTABLE = "the template writes an earlier turn otherwise once others follow"
UNENDED = "an answer ends without a token that ends it: the model may not learn to stop"
NO_CALL = "a tool turn that answers no call"
NONE_WRITTEN = "the template writes None for a turn without content"


class Ready(NamedTuple):
    """What is found out of a template once for all rows.

    Args:
        template: The template.
        variables: What it may read besides the conversation.
        shape: What it puts around a turn.
        ends: What ends a turn.
    """

    template: ChatTemplate
    variables: Mapping[str, Any]
    shape: Shape
    ends: EndRules


def oddities(chat: Chat) -> list[str]:
    """What is odd about the turns of a conversation."""
    found: list[str] = []
    roles = [message["role"] for message in chat.messages]
    if any(a == b and a != "tool" for a, b in pairwise(roles)):
        found.append(TWO_IN_A_ROW)
    for message, trained in zip(chat.messages, chat.trained, strict=True):
        if trained and len(message) == 2 and not message["content"].strip():
            found.append(EMPTY_TURN)
            break
    called = False
    for message in chat.messages:
        called = called or "tool_calls" in message
        if message["role"] == "tool" and not called:
            found.append(NO_CALL)
            break
    return found


def letters_for_tokens(facts: TokenizerFacts, shape: Shape) -> list[str]:
    """What there is to say where the template ends an answer with a token that there is not."""
    if facts.whole_tokens is None:
        return []
    known = facts.whole_tokens | facts.control_tokens | set(facts.special_tokens.values())
    return [
        f"{mark} of the template is no token of this tokenizer, its letters are trained"
        for mark in shape.ends
        if mark not in known
    ]


def of_text(chat: Chat, said: Rendered, ready: Ready) -> list[str]:
    """What is odd about the text of a conversation.

    Args:
        chat: The conversation.
        said: Its text and where its turns stand.
        ready: The template.
    """
    found: list[str] = []
    for message, span in zip(chat.messages, said.spans, strict=True):
        if span and message["content"] is None:
            head = ready.shape.head(message["role"], said.text, span)
            if said.text.startswith("None", head):
                found.append(NONE_WRITTEN)
                break
    if ready.template.looks_ahead and not _stable(chat, said, ready):
        found.append(UNSTABLE)
    return found


def _stable(chat: Chat, said: Rendered, ready: Ready) -> bool:
    """Whether the text up to an earlier answer is the same without what follows it."""
    answers = [n for n, message in enumerate(chat.messages) if message["role"] == "assistant"]
    if len(answers) < 2:
        return True
    looked_at = {answers[-2]}
    if any(message.get(REASONING[0]) for message in chat.messages):
        looked_at.add(answers[0])
    for number in looked_at:
        try:
            part = ready.template.place(
                chat.messages[: number + 1], ready.variables, tools=chat.tools
            )
        except DataError:  # it takes no conversation that ends there
            continue
        mine, whole = part.spans[number], said.spans[number]
        if mine is None or whole is None:
            continue
        if mine != whole or part.text[: mine[1]] != said.text[: whole[1]]:
            return False
    return True
