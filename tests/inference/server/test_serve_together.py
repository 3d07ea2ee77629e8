"""Requests that come at the same time are answered together, each as it would be alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Any

import openai
import pytest
from openai import OpenAI

from axolotl.inference import columns, together
from axolotl.inference.generate import Generator
from axolotl.inference.options import GenerationOptions
from axolotl.inference.server import worker as working
from axolotl.models.tiny import tiny_model
from tests.conftest import build_llama, build_tokenizer
from tests.inference.server.running import Running, running
from tests.inference.server.test_serve import endless_model

TEXTS = [f"{'Name some colours. ' * (number % 4)}And number {number}." for number in range(10)]
OPTIONS: list[dict[str, Any]] = [
    {},
    {"max_tokens": 3},
    {"temperature": 1.5, "seed": 5},
    {"extra_body": {"repetition_penalty": 2.0}},
    {"temperature": 0.8, "top_p": 0.7, "seed": 11, "max_tokens": 30},
]
"""Of one request after the other; the tokens are counted at the end."""


class Passes:
    """The passes of a model: how many rows each had; they wait until they may go on.

    Args:
        model: The model.

    Attributes:
        may_go_on: Cleared to hold the model back.
        held_at: Number of rows of the pass that is held back, once.
        fail: Says of the ids of a pass whether memory runs out in it.
    """

    def __init__(self, model: Any) -> None:
        self.rows: list[int] = []
        self.widths: list[int] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.held_at: int | None = None
        self.fail: Callable[[Any], bool] = lambda _: False
        model.register_forward_pre_hook(self._seen, with_kwargs=True)

    def _seen(self, _: Any, __: Any, given: dict[str, Any]) -> None:
        ids = given["input_ids"]
        self.rows.append(len(ids))
        self.widths.append(ids.shape[1])
        if len(ids) == self.held_at:
            self.held_at = None
            self.may_go_on.clear()
        assert self.may_go_on.wait(60)
        if self.fail(ids):
            raise MemoryError("no room")

    @contextmanager
    def held_back_until_asked(self, server: Running, requests: int) -> Iterator[None]:
        """Hold the model back while the body asks, and until so many requests have come."""
        self.may_go_on.clear()
        try:
            yield
            wait_until(lambda: server.worker.unanswered >= requests, "they did not come")
        finally:
            self.may_go_on.set()


def wait_until(so: Callable[[], bool], or_else: str) -> None:
    """Wait, but not for ever."""
    end = time.monotonic() + 60
    while not so():
        assert time.monotonic() < end, or_else
        time.sleep(0.01)


@pytest.fixture
def model() -> Any:
    return build_llama(eos_token_id=500, initializer_range=0.3)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as found:
        yield found


def alone(text: str, model: Any = None, **options: Any) -> str:
    given = dict(options)
    extra = given.pop("extra_body", {})
    if "max_tokens" in given:
        given["max_new_tokens"] = given.pop("max_tokens")
    how = GenerationOptions.of(**({"temperature": 0.0, "max_new_tokens": 12} | given | extra))
    model = model or build_llama(eos_token_id=500, initializer_range=0.3)
    return Generator(model, build_tokenizer(), bound=None, options=how).answer(text)


def ask(client: OpenAI, text: str, *, stream: bool = False, **options: Any) -> str:
    reply: Any = client.completions.create(model="tiny", prompt=text, stream=stream, **options)
    if not stream:
        return reply.choices[0].text
    return "".join(chunk.choices[0].text for chunk in reply)


def test_ten_at_once_are_answered_together_and_each_as_alone(
    model: Any, pool: ThreadPoolExecutor
) -> None:
    with running(model, build_tokenizer(), bound=None) as server, server.client() as client:
        passes = Passes(model)
        how = [OPTIONS[number % len(OPTIONS)] for number in range(10)]
        with passes.held_back_until_asked(server, 10):
            coming = [
                pool.submit(ask, client, text, stream=bool(number % 2), **how[number])
                for number, text in enumerate(TEXTS)
            ]
        answers = [one.result(60) for one in coming]
        assert server.wait_until_idle()
    assert answers == [
        alone(text, **options | {"seed": options.get("seed", 42)})
        for text, options in zip(TEXTS, how, strict=True)
    ]
    tokens = 4 * 12 + 2 * 3 + 2 * 12 + 2 * 30 - 2 * 3
    assert len(passes.rows) < tokens / 2, "tokens of several answers came from one pass"
    assert max(passes.rows) == 8, "eight places, as --max_batch says"


def test_one_that_comes_later_joins_one_that_is_being_answered() -> None:
    model = endless_model()
    with (
        running(model, build_tokenizer(), bound=None, max_new_tokens=90_000) as server,
        server.client() as client,
    ):
        passes = Passes(model)
        first = client.completions.create(model="tiny", prompt="x", stream=True)
        pieces = iter(first)
        said = next(pieces).choices[0].text
        second = ask(client, "Name three colours, please.", max_tokens=30)
        assert 2 in passes.rows, "both had a token from one pass"
        said += "".join(next(pieces).choices[0].text for _ in range(60))
        first.close()
        assert server.wait_until_idle()
    assert second == alone("Name three colours, please.", endless_model(), max_tokens=30)
    assert alone("x", endless_model(), max_tokens=100).startswith(said)


def test_of_long_prompts_one_is_read_between_two_tokens_of_the_others(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working, "_READ_CHARACTERS", 100)
    model, happened = endless_model(), list[str]()
    with (
        running(model, build_tokenizer(), bound=None, max_new_tokens=90_000) as server,
        server.client() as client,
    ):
        passes = Passes(model)
        first = client.completions.create(model="tiny", prompt="x", stream=True)
        next(iter(first))
        read = server.generator.read
        model.register_forward_pre_hook(lambda *_: happened.append("pass"))
        server.generator.read = lambda prompt: happened.append("read") or read(prompt)

        def of_three(text: str) -> list[str]:
            happened.clear()
            with passes.held_back_until_asked(server, 4):
                coming = [pool.submit(ask, client, text, max_tokens=2) for _ in range(3)]
            assert [one.result(60) for one in coming] == [
                alone(text, endless_model(), max_tokens=2)
            ] * 3
            wait_until(lambda: server.worker.unanswered == 1, "they do not leave")
            assert happened.count("read") == 3
            return happened[happened.index("read") :]

        long, short = of_three("Name some colours. " * 8), of_three("Name some.")
        first.close()
    assert ("read", "read") not in list(pairwise(long))
    assert ("read", "read") in list(pairwise(short))


def test_between_two_passes_that_read_prompts_the_others_have_a_token(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(together, "PREFILL_TOKENS", 20)
    model, text = endless_model(), "Name some colours, please. "
    with (
        running(model, build_tokenizer(), bound=None, max_new_tokens=90_000) as server,
        server.client() as client,
    ):
        first = client.completions.create(model="tiny", prompt="x", stream=True)
        next(iter(first))
        passes = Passes(model)
        with passes.held_back_until_asked(server, 3):
            ask_three = partial(client.completions.create, model="tiny", max_tokens=2)
            long: Future[Any] = pool.submit(ask_three, prompt=[text * 3, "y", text * 2])
            short = pool.submit(ask, client, "z", max_tokens=2)
        answers = [choice.text for choice in long.result(60).choices]
        assert short.result(60) == alone("z", endless_model(), max_tokens=2)
        first.close()
    assert answers == [
        alone(one, endless_model(), max_tokens=2) for one in (text * 3, "y", text * 2)
    ]
    reads = [width > 1 for width in passes.widths]
    assert (True, True) not in list(pairwise(reads))
    assert sum(reads) >= 2


def test_whoever_leaves_midway_leaves_the_others_alone(pool: ThreadPoolExecutor) -> None:
    model = endless_model()
    with (
        running(model, build_tokenizer(), bound=None, max_new_tokens=90_000) as server,
        server.client() as client,
    ):
        passes = Passes(model)
        leaving = client.completions.create(
            model="tiny", prompt="A long text that leaves. " * 4, stream=True
        )
        next(iter(leaving))
        (job,) = server.worker._open  # pyright: ignore[reportPrivateUsage]
        passes.held_at = 4
        with passes.held_back_until_asked(server, 4):
            staying = [pool.submit(ask, client, text, max_tokens=60) for text in TEXTS[:3]]
        wait_until(lambda: not passes.may_go_on.is_set(), "they did not meet")
        leaving.close()
        wait_until(job.given_up.is_set, "nobody noticed that it has gone")
        passes.may_go_on.set()
        answers = [one.result(60) for one in staying]
        assert server.wait_until_idle(), "and nobody is left"
        after = passes.rows[passes.rows.index(4) :]
    assert answers == [alone(text, endless_model(), max_tokens=60) for text in TEXTS[:3]]
    assert after[:2] == [4, 3], "its place was free before the next token"


def test_a_stop_ends_one_answer_and_not_the_others(model: Any, pool: ThreadPoolExecutor) -> None:
    whole = alone(TEXTS[0], max_tokens=40)
    stop = whole[9:12]
    with running(model, build_tokenizer(), bound=None) as server, server.client() as client:
        passes = Passes(model)
        how: list[dict[str, Any]] = [{"stop": ["never said", stop]}, {}, {"stop": "nowhere"}]
        with passes.held_back_until_asked(server, 3):
            coming = [
                pool.submit(
                    client.completions.create, model="tiny", prompt=TEXTS[0], max_tokens=40, **given
                )
                for given in how
            ]
        replies: list[Any] = [one.result(60) for one in coming]
    choices = [reply.choices[0] for reply in replies]
    assert replies[0].usage.completion_tokens < 40, "no token is made behind the stop"
    assert [choice.text for choice in choices] == [whole[: whole.find(stop)], whole, whole]
    assert [choice.finish_reason for choice in choices] == ["stop", "length", "length"]
    assert 3 in passes.rows


def failure(coming: Future[Any]) -> str:
    with pytest.raises(openai.InternalServerError) as caught:
        coming.result(60)
    assert caught.value.status_code == 500
    return str(caught.value)


def test_one_that_fails_does_not_disturb_the_others(model: Any, pool: ThreadPoolExecutor) -> None:
    tokenizer = build_tokenizer()
    with running(model, tokenizer, bound=None) as server, server.client() as client:
        passes = Passes(model)
        bad = "quick brown fox " * 9
        length = len(server.generator.prompt_ids(bad))
        passes.fail = lambda ids: ids.shape[1] == length
        with passes.held_back_until_asked(server, 4):
            coming = [pool.submit(ask, client, text) for text in (*TEXTS[:2], bad, TEXTS[2])]
        assert "the model failed: MemoryError" in failure(coming.pop(2))
        assert [one.result(60) for one in coming] == [alone(text) for text in TEXTS[:3]]
        long = "0 1 2 3 4 " * 200
        with pytest.raises(openai.BadRequestError, match="512 positions"):
            ask(client, long)


def test_a_request_that_fails_in_part_leaves_none_of_its_places_taken(model: Any) -> None:
    with running(model, build_tokenizer(), bound=None) as server, server.client() as client:
        passes = Passes(model)
        token = server.generator.prompt_ids("~")[-1]
        passes.fail = lambda ids: ids.shape[1] > 1 and bool((ids == token).any())
        with pytest.raises(openai.InternalServerError, match="MemoryError"):
            client.completions.create(model="tiny", prompt=["~ ~", *TEXTS[:3]])
        assert server.wait_until_idle()
        passes.rows.clear()
        assert ask(client, TEXTS[0]) == alone(TEXTS[0])
        assert set(passes.rows) == {1}


def test_an_error_while_answering_reaches_all_and_the_server_lives_on(
    model: Any, pool: ThreadPoolExecutor
) -> None:
    with running(model, build_tokenizer(), bound=None) as server, server.client() as client:
        passes = Passes(model)
        passes.fail = lambda ids: ids.shape == (3, 1)
        with passes.held_back_until_asked(server, 3):
            coming = [pool.submit(ask, client, text) for text in TEXTS[:3]]
        for one in coming:
            assert "the model failed: MemoryError" in failure(one)
        assert server.wait_until_idle()
        assert ask(client, TEXTS[0]) == alone(TEXTS[0])


def test_memory_that_runs_out_while_one_leaves_reaches_the_others_and_the_server_lives_on(
    model: Any, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        monkeypatch.undo()
        raise MemoryError("no room")

    with running(model, build_tokenizer(), bound=None) as server, server.client() as client:
        monkeypatch.setattr(columns, "keep", full)
        passes = Passes(model)
        with passes.held_back_until_asked(server, 3):
            coming = [
                pool.submit(ask, client, text, max_tokens=most)
                for text, most in zip(TEXTS[:3], (3, 30, 40), strict=True)
            ]
        assert coming[0].result(60) == alone(TEXTS[0], max_tokens=3), "it was whole already"
        for one in coming[1:]:
            assert "the model failed: MemoryError" in failure(one)
        assert server.wait_until_idle()
        assert ask(client, TEXTS[0]) == alone(TEXTS[0])


@pytest.mark.parametrize("stream", [False, True])
def test_prompts_of_one_request_are_answered_together(model: Any, stream: bool) -> None:
    with running(model, build_tokenizer(), bound=None) as server, server.client() as client:
        passes = Passes(model)
        reply: Any = client.completions.create(model="tiny", prompt=TEXTS, stream=stream)
        said = [""] * len(TEXTS)
        for chunk in reply if stream else [reply]:
            for choice in chunk.choices:
                said[choice.index] += choice.text
        assert said == [alone(text) for text in TEXTS]
        assert len(passes.rows) < 12 * len(TEXTS) / 2


def test_equal_prompts_of_one_request_are_drawn_each_by_itself(model: Any) -> None:
    drawn: dict[str, Any] = {"temperature": 1.5, "max_tokens": 30}
    with running(model, build_tokenizer(), bound=None) as server, server.client() as client:

        def four(**more: Any) -> list[str]:
            reply = client.completions.create(model="tiny", prompt=["x"] * 4, **drawn, **more)
            return [choice.text for choice in reply.choices]

        assert len(set(four())) == 4
        seeded = four(seed=5)
        assert len(set(seeded)) == 4
        assert four(seed=5) == seeded
        assert ask(client, "x", seed=5, **drawn) == seeded[0] == alone("x", seed=5, **drawn)


def test_a_request_of_many_prompts_does_not_keep_the_others_waiting(
    model: Any, pool: ThreadPoolExecutor
) -> None:
    with (
        running(model, build_tokenizer(), bound=None, max_batch=2) as server,
        server.client() as client,
    ):
        passes = Passes(model)
        order: list[str] = []
        with passes.held_back_until_asked(server, 2):
            many: Future[Any] = pool.submit(client.completions.create, model="tiny", prompt=TEXTS)
            many.add_done_callback(lambda _: order.append("many"))
            wait_until(lambda: bool(passes.rows), "the first did not begin")
            one = pool.submit(ask, client, "x")
            one.add_done_callback(lambda _: order.append("one"))
        assert one.result(60) == alone("x")
        assert [choice.text for choice in many.result(60).choices] == [alone(t) for t in TEXTS]
        assert order == ["one", "many"]
        assert max(passes.rows) == 2


def test_a_model_with_a_state_is_asked_one_request_at_a_time(pool: ThreadPoolExecutor) -> None:
    model = tiny_model("mamba")
    with running(model, build_tokenizer(), bound=None) as server, server.client() as client:
        assert server.generator.apart == "it remembers by a state"
        passes = Passes(model)
        with passes.held_back_until_asked(server, 4):
            coming = [pool.submit(ask, client, text) for text in TEXTS[:4]]
        assert [one.result(60) for one in coming] == [
            alone(text, tiny_model("mamba")) for text in TEXTS[:4]
        ]
        assert set(passes.rows) == {1}
