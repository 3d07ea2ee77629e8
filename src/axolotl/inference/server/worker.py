"""One thread that owns the model, and the queue of requests before it.

Only this thread touches model and tokenizer. Before each token it looks who has come and who has gone
away: prompts that wait take the free places, and answers that are whole, or that nobody waits for any
more, leave theirs. How many places there are bounds the memory for keys and values.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from axolotl.errors import AxolotlError
from axolotl.inference.making import Row
from axolotl.inference.sampling import seed_of
from axolotl.inference.server.errors import ApiError
from axolotl.inference.server.jobs import Ended, Event, Job, Piece, Started
from axolotl.inference.server.prompts import told
from axolotl.inference.together import PREFILL_TOKENS, Made, prefill_groups

if TYPE_CHECKING:
    from axolotl.inference.generate import Generator
    from axolotl.inference.options import GenerationOptions

MAX_BATCH = 8
_RETRY_S = 5
_READ_CHARACTERS = 4 * PREFILL_TOKENS
"""Characters of prompts after which no further request is taken in before the next token."""


@dataclass(frozen=True, eq=False)
class _Part:
    """One of the prompts of a request.

    Args:
        job: The request.
        index: Which of its prompts.
        row: Its answer.
    """

    job: Job
    index: int
    row: Row


class Worker:
    """Answers requests, several at a time where the model allows it.

    Args:
        generator: The model.
        most_waiting: How many may wait; one more is turned away.
        max_batch: How many prompts are answered at a time.
    """

    def __init__(
        self, generator: Generator, *, most_waiting: int, max_batch: int = MAX_BATCH
    ) -> None:
        self._generator = generator
        self._engine = generator.engine(max_batch)
        self._most_waiting = most_waiting
        self._jobs: queue.Queue[Job | None] = queue.Queue()
        self._waiting: list[_Part] = []
        self._running: dict[Row, _Part] = {}
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
            if len(self._open) >= self._most_waiting + self._engine.places:
                raise ApiError(
                    503,
                    f"{self._most_waiting} requests wait already; ask again later",
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
        if self._thread.ident is not None:  # a Ctrl-C may come before it has begun
            self._thread.join(seconds)

    def _work(self) -> None:
        while self._take():
            gone = {part.job for part in self._parts() if part.job.given_up.is_set()}
            self._close(gone, None)
            self._give_out(self._made())
        self._close({part.job for part in self._parts()}, None)

    def _parts(self) -> list[_Part]:
        return [*self._running.values(), *self._waiting]

    def _take(self) -> bool:
        """Take in the requests that have come, and wait for one where there is nothing to do.

        Of long ones one at a time, as nobody has a token while a prompt is read.

        Returns:
            Whether the server goes on.
        """
        idle = not (self._running or self._waiting)
        characters = 0
        while characters < _READ_CHARACTERS:
            try:
                job = self._jobs.get(block=idle)
            except queue.Empty:
                return True
            if job is None:
                return False
            characters += self._begin(job)
            idle = False
        return True

    def _begin(self, job: Job) -> int:
        """Read the prompts of a request, of which a broken one is told at once.

        Returns:
            How many characters they have.
        """
        if job.given_up.is_set():
            self._close([job], None)
            return 0
        characters = 0
        try:
            prompts = job.prompts()
            characters = sum(len(segment.text) for prompt in prompts for segment in prompt)
            ids = [self._generator.read(prompt) for prompt in prompts]
            rows = [
                self._generator.row(prompt, _own(job.options, index))
                for index, prompt in enumerate(ids)
            ]
        except Exception as error:  # noqa: BLE001  the others are not concerned
            self._close([job], _as_told(error))
            return characters
        job.prompt_tokens = sum(map(len, ids))
        job.left = len(rows)
        self._waiting += [_Part(job, index, row) for index, row in enumerate(rows)]
        return characters

    def _made(self) -> Made:
        """The next token of every answer, and the first of those that have found a place."""
        made: Made = []
        if self._running:
            try:
                made += self._engine.step()
            except Exception as error:  # noqa: BLE001  the next requests may do better
                self._close({part.job for part in self._running.values()}, _as_told(error))
                made = []
        new = {part.row: part for part in self._next(self._engine.places - len(self._running))}
        self._running |= new
        return made + self._join(list(new))

    def _next(self, free: int) -> list[_Part]:
        """The parts that take free places: first those of requests that have the fewest.

        They are no more than one pass reads, behind which those that are running have a token.
        """
        held = Counter(part.job for part in self._running.values())
        waiting, chosen = list(self._waiting), dict[Row, _Part]()
        while waiting and len(chosen) < free:
            part = min(waiting, key=lambda part: held[part.job])
            waiting.remove(part)
            held[part.job] += 1
            chosen[part.row] = part
        # The group of the first: short prompts that keep coming must not keep out a long one.
        group = next(
            (rows for rows in prefill_groups(list(chosen)) if next(iter(chosen)) in rows), []
        )
        self._waiting = [part for part in self._waiting if part.row not in group]
        return [chosen[row] for row in group]

    def _join(self, rows: Sequence[Row]) -> Made:
        """Begin with some rows; where they fail together, with each alone."""
        # Another prompt of the same request may have failed meanwhile.
        rows = [row for row in rows if row in self._running]
        if not rows:
            return []
        try:
            return self._engine.join(rows)
        except Exception as error:  # noqa: BLE001  the others are not concerned
            if len(rows) > 1:
                return [made for row in rows for made in self._join([row])]
            part = self._running.pop(rows[0], None)
            if part is not None:
                self._close([part.job], _as_told(error))
            return []

    def _give_out(self, made: Made) -> None:
        whole: list[Row] = []
        for row, token in made:
            part = self._running.get(row)
            if part is None:  # of a request that has failed meanwhile
                continue
            try:
                self._tell(part, row.add(token))
            except Exception as error:  # noqa: BLE001  the others are not concerned
                self._close([part.job], _as_told(error))
                continue
            if row.making.ended:
                whole.append(row)
                del self._running[row]
                if not part.job.left:
                    self._close([part.job], None)
        self._leave(whole)

    def _tell(self, part: _Part, piece: str) -> None:
        job, making = part.job, part.row.making
        if not job.begun:
            job.begun = True
            job.tell(Started(job.prompt_tokens))
        if piece:
            job.tell(Piece(part.index, piece))
        if making.ended:
            job.left -= 1
            job.tell(Ended(part.index, "length" if making.cut else "stop", making.tokens))

    def _close(self, jobs: Collection[Job], event: Event) -> None:
        """Tell the end of requests, or why they cannot be answered, and free their places."""
        if not jobs:
            return
        leaving = [row for row, part in self._running.items() if part.job in jobs]
        self._running = {row: part for row, part in self._running.items() if part.job not in jobs}
        self._waiting = [part for part in self._waiting if part.job not in jobs]
        self._leave(leaving)
        for job in jobs:
            job.tell(event)
        with self._lock:
            self._open -= set(jobs)

    def _leave(self, rows: Sequence[Row]) -> None:
        """Free the places of rows that do not run any more; where that fails, no row goes on."""
        try:
            self._engine.leave(rows)
        except Exception as error:  # noqa: BLE001  the next requests may do better
            self._close({part.job for part in self._running.values()}, _as_told(error))


def _own(options: GenerationOptions, index: int) -> GenerationOptions:
    """How one of a request's answers is chosen: equal prompts have draws of their own."""
    return replace(options, seed=seed_of(options.seed, index))


def _as_told(error: Exception) -> ApiError:
    """What a client is told of an error; one of the program's own goes to the log as well."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, AxolotlError):
        code = "context_length_exceeded" if "positions" in error.what else None
        return ApiError(400, told(error), code=code)
    logging.getLogger(__name__).error("a request failed", exc_info=error)
    return ApiError(500, f"the model failed: {type(error).__name__}")
