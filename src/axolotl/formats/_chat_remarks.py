"""What is odd about a conversation that is used as it is."""

from __future__ import annotations

from itertools import pairwise

from axolotl.errors import DataError
from axolotl.formats._chat_ready import UNENDED, Ready
from axolotl.formats._left_out import left_out
from axolotl.formats._masks import EndRules, turn_ends
from axolotl.formats._messages import REASONING, Chat
from axolotl.formats._turns import EMPTY_TURN, MODEL_FIRST, TWO_IN_A_ROW
from axolotl.templates.places import Rendered
from axolotl.templates.shape import Shape

LATE_SYSTEM = "a system turn behind others"
NO_CALL = "a tool turn that answers no call"
ADDED = "the template adds a system text of its own to rows without one: {}"
NO_PLACE = "a system turn that is to be trained has no place of its own in the template"


def oddities(chat: Chat) -> list[str]:
    """What is odd about the turns of a conversation."""
    found: list[str] = []
    roles = [message["role"] for message in chat.messages]
    if next((role for role in roles if role != "system"), None) == "assistant":
        found.append(MODEL_FIRST)
    if "system" in roles[1:]:
        found.append(LATE_SYSTEM)
    for a, b in pairwise(roles):
        if a == b and a != "tool":
            found.append(TWO_IN_A_ROW)
            break
    for message, trained in zip(chat.messages, chat.trained, strict=True):
        if trained and len(message) == 2 and (not (text := message["content"]) or text.isspace()):
            found.append(EMPTY_TURN)
            break
    if "tool" not in roles:
        return found
    called = False
    for message in chat.messages:
        called = called or "tool_calls" in message
        if message["role"] == "tool" and not called:
            found.append(NO_CALL)
            break
    return found


def of_text(chat: Chat, said: Rendered, ready: Ready, thinking: str) -> list[str]:
    """What is odd about the text of a conversation.

    Args:
        chat: The conversation.
        said: Its text and where its turns stand.
        ready: The template.
        thinking: What the template calls the reasoning.
    """
    found = left_out(chat, said, ready.shape, thinking)
    if None in said.spans and any(
        told and not span for told, span in zip(chat.trained, said.spans, strict=True)
    ):
        found.append(NO_PLACE)
    if ready.shape.added and "system" not in [message["role"] for message in chat.messages]:
        found.append(ADDED.format(ready.shape.added))
    ahead = ready.template.looks_ahead
    if (ahead or not chat.plain) and not ready.shape.unended and _unended(chat, said, ready.ends):
        found.append(UNENDED)
    if ahead and not _stable(chat, said, ready):
        found.append(ready.unstable)
    return found


def check_silent_turns(chat: Chat, said: Rendered, shape: Shape) -> None:
    """See that a turn without text did not become the word None.

    Args:
        chat: The conversation.
        said: Its text and where its turns stand.
        shape: What the template puts around a turn.

    Raises:
        DataError: one did.
    """
    if chat.plain:
        return
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
