"""Where each turn stands in the text of a conversation: by marks in it, or turn by turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from axolotl.errors import DataError

Message = Mapping[str, Any]
Span = tuple[int, int]
UNFOLLOWED = "the chat template cannot be followed: it does not write one turn after the other"


class Rendered(NamedTuple):
    """A conversation as text.

    Args:
        text: The text.
        spans: Where each message stands in it; None for one that has no place of its own.
    """

    text: str
    spans: list[Span | None]


class Render(Protocol):
    """A template that writes some messages, and asks for an answer behind them if told so."""

    def __call__(self, some: Sequence[Message], *, prompt: bool) -> str:
        """The text of some messages."""
        ...


def in_order(pieces: Sequence[str], count: int) -> bool:
    """Whether every mark came out, once and in order.

    Args:
        pieces: The text, split at the signs of marks.
        count: How many were set.
    """
    return len(pieces) == 2 * count + 1 and pieces[1::2] == _numbers(count)


def _says_something(message: Message) -> bool:
    """Whether it is an answer that must have a place in the text."""
    told = message.get("content") or message.get("tool_calls")
    return message["role"] == "assistant" and bool(told)


def _one_behind_the_other(texts: Sequence[str]) -> list[Span | None]:
    """Where messages stand that one loop has come to, each once and in order."""
    spans: list[Span | None] = []
    begin = len(texts[0])
    for text in texts[1:-1]:
        end = begin + len(text)
        spans.append((begin, end))
        begin = end
    return spans


@lru_cache(maxsize=1024)
def _one_loop(loop: int, count: int) -> list[tuple[int, int]]:
    """The marks of a loop that comes to each message once."""
    return [*((loop, number) for number in range(count)), (loop, -1)]


@lru_cache(maxsize=1024)
def _numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def spans_by_marks(
    texts: Sequence[str], marks: Sequence[tuple[int, int]], messages: Sequence[Message]
) -> list[Span | None] | None:
    """Where messages stand, from the texts between the marks; None where that is not clear.

    A loop over messages may stand in another one, so what follows the end of the inner loop belongs
    to the message of the outer one.

    Args:
        texts: What stands before, between and behind the marks.
        marks: Number of the loop of each mark and of the message; -1 for the end of the loop.
        messages: The messages.
    """
    if marks and list(marks) == _one_loop(marks[0][0], len(messages)) and all(texts[1:-1]):
        return _one_behind_the_other(texts)
    spans: list[Span | None] = [None] * len(messages)
    reached: set[int] = set()
    within: list[tuple[int, int]] = []
    position = len(texts[0])
    for (loop, number), text in zip(marks, texts[1:], strict=True):
        if within and (within[-1][0] == loop or any(one == loop for one, _ in within)):
            while within.pop()[0] != loop:
                pass
        if number >= 0:
            within.append((loop, number))
            reached.add(number)
        if text and within:
            owner = within[-1][1]
            known = spans[owner]
            if known is not None and known[1] != position:
                return None
            spans[owner] = (known[0] if known else position, position + len(text))
        position += len(text)
    last = 0
    for number, (message, span) in enumerate(zip(messages, spans, strict=True)):
        if span is None and message["role"] != "system":
            if number not in reached or _says_something(message):
                return None
        elif span is not None:
            if span[0] < last:
                return None
            last = span[1]
    return spans


def spans_by_turns(
    render: Render, messages: Sequence[Message], text: str, *, eos: str
) -> list[Span | None]:
    """Where messages stand, found by writing the conversation up to each of them.

    Args:
        render: The template.
        messages: The messages.
        text: The text of all of them.
        eos: The end token, which may stand behind the last turn alone; empty for none.

    Raises:
        DataError: the template does not write one turn behind the other.
    """
    spans: list[Span | None] = []
    begin = 0
    unwritten: list[str] = []
    for number, message in enumerate(messages, start=1):
        part = _up_to(render, messages, number)
        if part is None:  # a system turn alone
            spans.append(None)
            continue
        end = _common_end(part, text, eos)
        if end == begin and _says_something(message):
            raise DataError(
                f"the chat template writes nothing for turn {number}, from the assistant",
                hint="choose a chat_template that has a form for it",
            )
        if end == begin and message["role"] != "system":
            unwritten.append(str(message.get("content") or "").strip())
        late = message["role"] == "assistant" and any(
            said and said in text[begin:end] for said in unwritten
        )
        # what an earlier turn says must not come to stand in an answer
        if end < begin or late or (message["role"] == "assistant" and _all_apart(spans)):
            raise _unfollowed()
        if end > begin:
            unwritten.clear()
        spans.append((begin, end))
        begin = end
    return spans


def _all_apart(spans: Sequence[Span | None]) -> bool:
    """Whether there are turns, and all of them system turns that have no place yet."""
    return bool(spans) and all(span is None for span in spans)


def _up_to(render: Render, messages: Sequence[Message], number: int) -> str | None:
    """The text of the first messages; None where those are system turns and are refused alone."""
    try:
        return render(messages[:number], prompt=False)
    except DataError as error:
        if messages[number - 1]["role"] == "assistant":
            raise
        if all(message["role"] == "system" for message in messages[:number]):
            return None
        refused = error
    try:  # some take a conversation that does not end with an answer only where one is asked for
        asked, plain, whole = (
            render(messages[:number], prompt=True),
            render(messages, prompt=False),
            render(messages, prompt=True),
        )
    except DataError:
        raise _unfollowed() from refused
    return asked.removesuffix(whole[len(plain) :]) if whole.startswith(plain) else asked


def _common_end(part: str, text: str, eos: str) -> int:
    """Where the text of the first turns ends in that of all; -1 if the latter begins otherwise."""
    if text.startswith(part):
        return len(part)
    end = len(part) - (len(eos) if eos and part.endswith(eos) else 0)
    return end if text.startswith(part[:end]) else -1


def _unfollowed() -> DataError:
    return DataError(UNFOLLOWED, hint="choose another chat_template, or mend chat_template_jinja")
