"""Eight requests at a time against one after another: SmolLM2-135M-Instruct, fp32, behind the HTTP server.

Both are the same server with the same prompts and as many tokens; only the number of places differs.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch
from _smol import model_folder
from openai import OpenAI
from transformers import AutoModelForCausalLM, AutoTokenizer

from axolotl.inference.generate import Generator
from axolotl.inference.options import GenerationOptions
from axolotl.inference.server.app import Service
from axolotl.inference.server.run import Server, listen, url_of
from axolotl.inference.server.worker import Worker

REQUESTS, TOKENS, ROUNDS = 8, 48, 2
TEXT = "The colours of the rainbow are"
LENGTHS = (1, 8, 2, 4, 1, 6, 3, 5)
"""How often each prompt has the text, so that their lengths differ."""


@contextmanager
def serving(generator: Generator, places: int) -> Iterator[str]:
    """A server on a free port."""
    worker = Worker(generator, most_waiting=REQUESTS, max_batch=places)
    service = Service(worker, name="smol", bound=None, usual=generator.options)
    listening: socket.socket = listen("127.0.0.1", 0)
    server = Server(service.app(), worker)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield url_of(listening)
    finally:
        server.should_exit = True
        thread.join()


def tokens_per_second(generator: Generator, places: int) -> float:
    """All requests at once, where so many have a place."""

    def ask(client: OpenAI, times: int) -> int:
        reply = client.completions.create(model="smol", prompt=f"{TEXT} " * times)
        assert reply.usage is not None
        return reply.usage.completion_tokens

    with (
        serving(generator, places) as url,
        OpenAI(base_url=url, api_key="any", max_retries=0, timeout=600) as client,
        ThreadPoolExecutor(REQUESTS) as pool,
    ):
        ask(client, 1)
        begin = time.perf_counter()
        tokens = sum(pool.map(lambda times: ask(client, times), LENGTHS))
        return tokens / (time.perf_counter() - begin)


def main() -> None:
    """Measure in turns, and print one line."""
    folder = model_folder()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    how = GenerationOptions(temperature=0, max_new_tokens=TOKENS)
    generator = Generator(model, AutoTokenizer.from_pretrained(folder), bound=None, options=how)
    pairs = [
        (tokens_per_second(generator, REQUESTS), tokens_per_second(generator, 1))
        for _ in range(ROUNDS)
    ]
    together, apart = (max(values) for values in zip(*pairs, strict=True))
    print(
        f"{REQUESTS} requests at a time: tokens per second against one after another: "
        f"{together / apart:.2f} (>= 1.5)"
    )
    print(f"tokens per second: together {together:.0f}, one after another {apart:.0f}")


if __name__ == "__main__":
    main()
