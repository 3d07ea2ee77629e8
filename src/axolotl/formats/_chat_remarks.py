"""What is odd about a conversation that is used as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, cast

from axolotl.errors import DataError
from axolotl.formats._masks import EndRules, turn_ends
from axolotl.formats._messages import REASONING, Chat
from axolotl.formats._turns import EMPTY_TURN, MODEL_FIRST, TWO_IN_A_ROW
from axolotl.records import TokenizerFacts
from axolotl.templates.places import Rendered
from axolotl.templates.render import ChatTemplate
from axolotl.templates.shape import Shape

UNSTABLE = "the template writes an earlier turn otherwise once others follow"
UNENDED = "an answer ends without a token that ends it: the model may not learn to stop"
LATE_SYSTEM = "a system turn behind others"
NO_CALL = "a tool turn that answers no call"
LEFT_OUT = "the template leaves out {}"
NO_PLACE = "a system turn that is to be trained has no place of its own in the template"


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
    speakers = [role for role in roles if role != "system"]
    if speakers[:1] == ["assistant"]:
        found.append(MODEL_FIRST)
    if "system" in roles[1:]:
        found.append(LATE_SYSTEM)
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
    found = [LEFT_OUT.format(what) for what in _left_out(chat, said.text)]
    if any(told and not span for told, span in zip(chat.trained, said.spans, strict=True)):
        found.append(NO_PLACE)
    if not ready.shape.unended and _unended(chat, said, ready.ends):
        found.append(UNENDED)
    if ready.template.looks_ahead and not _stable(chat, said, ready):
        found.append(UNSTABLE)
    return found


def needs_text(chat: Chat) -> bool:
    """Whether the text of a conversation may be odd where the template does not look ahead."""
    plain = all(len(message) == 2 for message in chat.messages)
    return not plain or bool(chat.tools) or (chat.trained[0] and _is_system(chat.messages[0]))


def _is_system(message: Mapping[str, Any]) -> bool:
    return message["role"] == "system"


def _left_out(chat: Chat, text: str) -> Iterator[str]:
    """What the template was given and did not write; some write the reasoning of the last turn alone."""
    calls = [call for message in chat.messages for call in message.get("tool_calls", ())]
    if any(name not in text for name in _names(calls)):
        yield "tool calls"
    if any(name not in text for name in _names(chat.tools or ())):
        yield "the tools"
    thoughts = [message.get(REASONING[0]) for message in chat.messages]
    last = next((one for one in reversed(thoughts) if one), "")
    if last.strip() not in text:
        yield "reasoning"


def _names(functions: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for one in functions:
        held = one.get("function", one)
        function = cast("Mapping[str, Any]", held if isinstance(held, Mapping) else {})
        name = function.get("name")
        if isinstance(name, str):
            yield name


def check_silent_turns(chat: Chat, said: Rendered, shape: Shape) -> None:
    """See that a turn without text did not become the word None.

    Args:
        chat: The conversation.
        said: Its text and where its turns stand.
        shape: What the template puts around a turn.

    Raises:
        DataError: one did.
    """
    for number, (message, span) in enumerate(zip(chat.messages, said.spans, strict=True), start=1):
        if message["content"] is None and span:
            head = shape.head(message["role"], said.text, span)
            if said.text[head : span[1]].lstrip().startswith("None"):
                raise DataError(
                    f"the chat template writes None for turn {number}, which has tool calls or "
                    "reasoning and no text",
                    hint="choose a chat_template that has a form for them, such as qwen3",
                )


def _unended(chat: Chat, said: Rendered, ends: EndRules) -> bool:
    """Whether an answer that is trained ends without a token that ends it."""
    return any(
        trained
        and message["role"] == "assistant"
        and span
        # behind the last one may stand an end token that is not part of its turn
        and not turn_ends(said.text, span, ends, final=True)
        for message, trained, span in zip(chat.messages, chat.trained, said.spans, strict=True)
    )


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
