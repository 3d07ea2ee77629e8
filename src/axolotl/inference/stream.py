"""Tokens of an answer as they come, and the text that is certain so far."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from typing import Any

import torch
from transformers import StoppingCriteria
from transformers.generation.streamers import BaseStreamer

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"


class TextSoFar:
    """Turns ids into text piece by piece; a character that is not whole yet is held back.

    A character may be spread over several tokens, and a tokenizer may write a token otherwise at
    the beginning of a text than within it. So each piece is decoded together with the one before,
    and only what that adds is given out.

    Args:
        decode: Ids to text.
    """

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._before = 0
        self._given = 0

    def add(self, token: int) -> str:
        """The text that one more token makes certain; often empty."""
        self._ids.append(token)
        new = self._new()
        if not new or new.endswith(_UNFINISHED):
            return ""
        self._before, self._given = self._given, len(self._ids)
        return new

    def rest(self) -> str:
        """What was held back, at the end of the answer."""
        new = self._new()
        self._before = self._given = len(self._ids)
        return new

    def _new(self) -> str:
        known = self._decode(self._ids[self._before : self._given])
        return self._decode(self._ids[self._before :])[len(known) :]


class _Tokens(BaseStreamer):
    """Hands tokens from the thread that makes them to the one that reads them."""

    def __init__(self) -> None:
        self.queue: queue.SimpleQueue[int | BaseException | None] = queue.SimpleQueue()
        self._prompt_seen = False

    def put(self, value: torch.Tensor) -> None:
        """Take new ids; the first call brings the prompt."""
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        for token in value.flatten().tolist():
            self.queue.put(token)

    def end(self) -> None:
        """Nothing: the thread says itself when it is through, also after an error."""


class _Until(StoppingCriteria):
    """Stops when it is told to."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> Any:  # noqa: ARG002  the library's signature
        """One answer for each row."""
        return torch.full((input_ids.shape[0],), self._stop.is_set(), device=input_ids.device)


def stream_tokens(generate: Callable[..., Any]) -> Generator[int]:
    """Ids of one answer as they are made, in a thread of their own.

    Closing the iterator, or an exception in whoever reads it, such as Ctrl-C, ends the thread after
    its next token.

    Args:
        generate: Called with `streamer` and `stopping_criteria`, as `model.generate` takes them.
    """
    tokens, stop = _Tokens(), threading.Event()

    def work() -> None:
        problem: BaseException | None = None
        try:
            generate(streamer=tokens, stopping_criteria=[_Until(stop)])
        except BaseException as error:  # noqa: BLE001  raised again by whoever reads
            problem = error
        tokens.queue.put(problem)

    thread = threading.Thread(target=work, name="answer", daemon=True)
    thread.start()
    try:
        while True:
            item = tokens.queue.get()
            if isinstance(item, BaseException):
                raise item
            if item is None:
                return
            yield item
    finally:
        stop.set()
        thread.join()
