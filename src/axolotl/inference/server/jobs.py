"""Requests on their way to the model, and what those who wait for them are told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from axolotl.inference.server.errors import ApiError

if TYPE_CHECKING:
    from axolotl.inference.options import GenerationOptions
    from axolotl.records import Segment


@dataclass(frozen=True, slots=True)
class Started:
    """The model has begun with a request: its prompts can be used."""

    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class Piece:
    """Some more text of an answer.

    Args:
        index: Which of the request's prompts it answers.
        text: The text.
    """

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """An answer is whole.

    Args:
        index: Which of the request's prompts it answers.
        reason: `stop`, or `length` where it was cut.
        tokens: How many tokens it has.
    """

    index: int
    reason: str
    tokens: int


Event = Started | Piece | Ended | ApiError | None
"""None: the request is done."""


@dataclass(eq=False)
class Job:
    """A request on its way.

    Args:
        prompts: Makes the segments of each prompt.
        options: How answers are chosen.
        loop: The loop of whoever waits for it.
        given_up: Set when nobody waits for it any more.
        prompt_tokens: Tokens of its prompts, once the worker has read them.
        begun: Whether the first token of an answer has been made.
        left: How many of its answers are not whole.
    """

    prompts: Callable[[], Sequence[Sequence[Segment]]]
    options: GenerationOptions
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    given_up: threading.Event = field(default_factory=threading.Event)
    prompt_tokens: int = 0
    begun: bool = False
    left: int = 0
    _events: asyncio.Queue[Event] = field(default_factory=asyncio.Queue)

    def tell(self, event: Event) -> None:
        """Hand an event to whoever waits; from any thread."""
        try:
            self.loop.call_soon_threadsafe(self._events.put_nowait, event)
        except RuntimeError:  # the loop has ended, and with it all who wait
            self.given_up.set()

    async def events(self) -> AsyncIterator[Started | Piece | Ended]:
        """What happens, as it happens.

        Raises:
            ApiError: it cannot be answered.
        """
        while (event := await self._events.get()) is not None:
            if isinstance(event, ApiError):
                raise event
            yield event
