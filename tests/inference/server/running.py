"""A server on a free port of this machine, in a thread, with a tiny model behind it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from openai import OpenAI

from axolotl.formats import BoundFormat
from axolotl.inference.generate import Generator
from axolotl.inference.hosts import names_of
from axolotl.inference.options import GenerationOptions
from axolotl.inference.server.app import Service
from axolotl.inference.server.run import Server, listen, url_of
from axolotl.inference.server.worker import Worker


class Running:
    """What a test may ask of it.

    Args:
        url: Its address.
        worker: What answers.
        generator: The model.
    """

    def __init__(self, url: str, worker: Worker, generator: Generator) -> None:
        self.url = url
        self.worker = worker
        self.generator = generator

    def client(self, key: str = "any") -> OpenAI:
        """The client of openai, which does not ask again by itself."""
        return OpenAI(base_url=self.url, api_key=key, max_retries=0, timeout=60)

    def wait_until_begun(self) -> None:
        """Wait for a request."""
        while not self.worker.unanswered:
            time.sleep(0.01)

    def wait_until_idle(self, seconds: float = 30) -> bool:
        """Whether nothing is being answered any more, before the time is up."""
        end = time.monotonic() + seconds
        while self.worker.unanswered and time.monotonic() < end:
            time.sleep(0.01)
        return not self.worker.unanswered


@contextmanager
def running(
    model: Any,
    tokenizer: Any,
    *,
    bound: BoundFormat | None,
    most_waiting: int = 64,
    max_batch: int = 8,
    key: str | None = None,
    **usual: Any,
) -> Iterator[Running]:
    """Start it, and end it as Ctrl-C does."""
    options = GenerationOptions.of(**({"temperature": 0.0, "max_new_tokens": 12} | usual))
    generator = Generator(model, tokenizer, bound=bound, options=options)
    worker = Worker(generator, most_waiting=most_waiting, max_batch=max_batch)
    service = Service(
        worker,
        name="tiny",
        bound=bound,
        usual=options,
        key=key,
        hosts=None if key else names_of("127.0.0.1"),
    )
    listening = listen("127.0.0.1", 0)
    server = Server(service.app(), worker)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield Running(url_of(listening), worker, generator)
    finally:
        server.should_exit = True
        thread.join(30)
        worker.join(30)
        assert not thread.is_alive(), "the server does not end"
