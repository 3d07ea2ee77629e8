"""One thread that owns the model, and the queue of requests before it.

Only this thread touches model and tokenizer. It answers one request after the other, so that a
machine without much memory never holds more than one cache of keys and values.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from axolotl.errors import AxolotlError
from axolotl.inference.server.errors import ApiError
from axolotl.inference.server.prompts import told

if TYPE_CHECKING:
    from axolotl.inference.generate import Generator
    from axolotl.inference.options import GenerationOptions
    from axolotl.records import Segment

_RETRY_S = 5


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


@dataclass(frozen=True, eq=False)
class Job:
    """A request on its way.

    Args:
        prompts: Makes the segments of each prompt.
        options: How answers are chosen.
        loop: The loop of whoever waits for it.
    """

    prompts: Callable[[], Sequence[Sequence[Segment]]]
    options: GenerationOptions
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    given_up: threading.Event = field(default_factory=threading.Event)
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


class Worker:
    """Answers requests in the order in which they come.

    Args:
        generator: The model.
        most_waiting: How many may wait; one more is turned away.
    """

    def __init__(self, generator: Generator, *, most_waiting: int) -> None:
        self._generator = generator
        self._jobs: queue.Queue[Job | None] = queue.Queue()
        self._most = most_waiting
        self._open: set[Job] = set()
        self._lock = threading.Lock()
        self._ending = False
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    @property
    def unanswered(self) -> int:
        """Requests that wait or are being answered."""
        return len(self._open)

    def submit(self, job: Job) -> None:
        """Put a request into the queue.

        Raises:
            ApiError: too many wait already, or the server is ending.
        """
        with self._lock:
            if self._ending:
                raise ApiError(503, "the server is ending", retry_s=_RETRY_S)
            if len(self._open) > self._most:
                raise ApiError(
                    503,
                    f"{self._most} requests wait already; ask again later",
                    code="overloaded",
                    retry_s=_RETRY_S,
                )
            self._open.add(job)
        self._jobs.put(job)

    def end(self) -> None:
        """Give up all requests; those who wait are told."""
        with self._lock:
            self._ending = True
            unanswered = list(self._open)
        for job in unanswered:
            job.given_up.set()
            job.tell(ApiError(503, "the server is ending", retry_s=_RETRY_S))
        self._jobs.put(None)

    def join(self, seconds: float) -> None:
        """Wait for the model to come to rest."""
        self._thread.join(seconds)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                if not job.given_up.is_set():
                    self._answer(job)
                job.tell(None)
            except ApiError as error:
                job.tell(error)
            except AxolotlError as error:
                job.tell(ApiError(400, told(error), code=_code(error)))
            except Exception as error:  # the next request may do better
                logging.getLogger(__name__).exception("a request failed")
                job.tell(ApiError(500, f"the model failed: {type(error).__name__}"))
            finally:
                with self._lock:
                    self._open.discard(job)

    def _answer(self, job: Job) -> None:
        ids = [self._generator.segment_ids(segments) for segments in job.prompts()]
        streams = [self._generator.stream_ids(prompt, job.options) for prompt in ids]
        job.tell(Started(sum(map(len, ids))))
        for index, stream in enumerate(streams):
            with closing(stream) as pieces:
                for piece in pieces:
                    if job.given_up.is_set():
                        return
                    if piece:
                        job.tell(Piece(index, piece))
            reason = "length" if self._generator.cut else "stop"
            job.tell(Ended(index, reason, self._generator.tokens))


def _code(error: AxolotlError) -> str | None:
    return "context_length_exceeded" if "positions" in error.what else None
