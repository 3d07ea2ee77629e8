"""The server, asked by the client of openai."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx
import openai
import pytest
from openai import OpenAI

from axolotl.data.encoder import Encoder
from axolotl.formats import Shared, bind
from axolotl.inference.generate import Generator
from axolotl.inference.options import GenerationOptions
from axolotl.inference.server.limits import BODY_BYTES
from tests.conftest import build_llama, build_tokenizer
from tests.inference.server.running import Running, running

QUESTION = "Name three colours."
ASKED: Any = [{"role": "user", "content": QUESTION}]


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    model = build_llama(eos_token_id=500, initializer_range=0.3)
    with running(model, build_tokenizer(), bound=bind("alpaca")) as found:
        yield found


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[OpenAI]:
    with server.client() as found:
        yield found


def alone(question: str = QUESTION, *, prompter: str | None = "alpaca", **options: Any) -> str:
    """The answer of the model by itself, outside of any server."""
    model = build_llama(eos_token_id=500, initializer_range=0.3)
    how = GenerationOptions.of(**({"temperature": 0.0, "max_new_tokens": 12} | options))
    bound = bind(prompter) if prompter else None
    return Generator(model, build_tokenizer(), bound=bound, options=how).answer(question)


def test_a_chat_is_answered_in_the_format_of_the_training(client: OpenAI) -> None:
    reply = client.chat.completions.create(model="tiny", messages=ASKED)
    assert reply.choices[0].message.content == alone()
    assert reply.choices[0].message.role == "assistant"
    assert reply.choices[0].finish_reason == "length"
    assert reply.object == "chat.completion"
    assert reply.usage is not None
    assert reply.usage.completion_tokens == 12
    ids = Generator(build_llama(), build_tokenizer(), bound=bind("alpaca")).prompt_ids(QUESTION)
    assert reply.usage.prompt_tokens == len(ids)
    assert reply.usage.total_tokens == len(ids) + 12


def test_streamed_it_is_the_same_in_pieces(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model="tiny", messages=ASKED, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert len([piece for piece in pieces if piece]) > 3
    assert "".join(piece or "" for piece in pieces) == alone()
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "length"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 12
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_completion_goes_on_from_the_text_as_it_is(client: OpenAI) -> None:
    whole = client.completions.create(model="tiny", prompt=QUESTION)
    assert whole.choices[0].text == alone(prompter=None) != alone()
    chunks = list(client.completions.create(model="tiny", prompt=QUESTION, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    assert chunks[-1].choices[0].finish_reason == "length"
    many = client.completions.create(model="tiny", prompt=[QUESTION, "x"])
    assert [choice.text for choice in many.choices] == [
        whole.choices[0].text,
        alone("x", prompter=None),
    ]
    assert [choice.index for choice in many.choices] == [0, 1]


def test_options_of_a_request_reach_the_answer(client: OpenAI) -> None:
    def ask(**options: Any) -> Any:
        return client.chat.completions.create(model="tiny", messages=ASKED, **options).choices[0]

    assert ask(max_tokens=5).message.content == alone(max_new_tokens=5)
    assert ask(max_completion_tokens=4).message.content == alone(max_new_tokens=4)
    hot = {"temperature": 2.0, "seed": 7}
    assert ask(**hot).message.content == ask(**hot).message.content
    assert ask(**hot).message.content != ask(temperature=2.0, seed=8).message.content
    assert ask(temperature=2.0).message.content != ask(temperature=2.0).message.content
    assert ask(**hot, top_p=1e-6).message.content == alone(repetition_penalty=1.1)
    long: Any = {"max_new_tokens": 60}
    extra = ask(max_tokens=60, extra_body={"repetition_penalty": 9.0})
    assert extra.message.content == alone(repetition_penalty=9.0, **long) != alone(**long)


@pytest.mark.parametrize("streams", [False, True])
def test_a_stop_ends_the_answer_and_is_no_part_of_it(client: OpenAI, streams: bool) -> None:
    whole = alone(max_new_tokens=40)
    stop = whole[6:9]
    before = whole[: whole.find(stop)]
    reply: Any = client.chat.completions.create(
        model="tiny", messages=ASKED, stop=["never said", stop], stream=streams, max_tokens=40
    )
    if streams:
        chunks = list(reply)
        assert "".join(c.choices[0].delta.content or "" for c in chunks) == before
        assert chunks[-1].choices[0].finish_reason == "stop"
    else:
        assert reply.choices[0].message.content == before
        assert reply.choices[0].finish_reason == "stop"
        assert 0 < reply.usage.completion_tokens < 40


def test_an_answer_that_ends_by_itself_says_so() -> None:
    free = build_llama(eos_token_id=500, initializer_range=0.3)
    tokenizer = build_tokenizer()
    generator = Generator(free, tokenizer, bound=None, options=GenerationOptions(temperature=0))
    first = next(iter(tokenizer(generator.answer("x"), add_special_tokens=False)["input_ids"]))
    ends = build_llama(eos_token_id=500, initializer_range=0.3)
    ends.generation_config.eos_token_id = [500, first]
    with running(ends, tokenizer, bound=None) as server, server.client() as client:
        reply = client.completions.create(model="tiny", prompt="x").choices[0]
        assert (reply.text, reply.finish_reason) == ("", "stop")


def test_ten_at_once_are_all_answered(client: OpenAI) -> None:
    questions = [f"Name {number} colours." for number in range(10)]

    def ask(number: int) -> str | None:
        messages: Any = [{"role": "user", "content": questions[number]}]
        if number % 2:
            reply = client.chat.completions.create(model="tiny", messages=messages)
            return reply.choices[0].message.content
        chunks = client.chat.completions.create(model="tiny", messages=messages, stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(ask, range(10)))
    assert answers == [alone(question) for question in questions]


def test_models_are_named(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").owned_by == "axolotl"
    with pytest.raises(openai.NotFoundError, match="there is no model 'large' here"):
        client.models.retrieve("large")
    with pytest.raises(openai.NotFoundError, match="there is 'tiny'"):
        client.chat.completions.create(model="large", messages=ASKED)


@pytest.mark.parametrize(
    ("options", "message", "param"),
    [
        ({"n": 2}, "each request has one answer", "n"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "calls of tools", "tools"),
        ({"logprobs": True}, "probabilities of tokens are not given out", "logprobs"),
        ({"response_format": {"type": "json_object"}}, "text of any shape", "response_format"),
        ({"presence_penalty": 0.5}, "repetition_penalty", "presence_penalty"),
        ({"temperature": -1}, "greater than or equal to 0", "temperature"),
        ({"temperature": "hot"}, "valid number", "temperature"),
        ({"top_p": 0}, "greater than 0", "top_p"),
        ({"max_tokens": 0}, "greater than or equal to 1", "max_tokens"),
        ({"max_tokens": True}, "valid integer", "max_tokens"),
        ({"stop": [""]}, "at least 1 character", "stop.0"),
        ({"stop": ["a"] * 17}, "at most 16 texts", "stop"),
        ({"stream_options": {"include_usage": True}}, "goes with `stream: true`", "stream_options"),
        ({"extra_body": {"temprature": 1}}, "did you mean 'temperature'", "temprature"),
        ({"messages": []}, "at least 1 item", "messages"),
        ({"messages": [{"role": "boss", "content": "x"}]}, "'user'", "messages.0.role"),
        (
            {"messages": [*ASKED, {"role": "tool", "content": "x", "tool_call_id": "1"}]},
            "tools are not supported here",
            "messages.1.role",
        ),
        (
            {"messages": [*ASKED, {"role": "assistant", "content": None}]},
            "there must be a text; calls of tools",
            "messages.1.content",
        ),
        ({"stop": ""}, "at least 1 character", "stop"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "'image_url' are not supported here, only 'text'",
            "messages.0.content.0.type",
        ),
        ({"messages": [*ASKED, {"role": "assistant", "content": "x"}]}, "is an answer", "messages"),
        ({"messages": [*ASKED, *ASKED]}, "asks single questions", "messages"),
        ({"messages": [{"role": "user", "content": "x " * 600}]}, "512 positions", None),
    ],
)
@pytest.mark.parametrize("streams", [False, True])
def test_what_cannot_be_is_refused_with_the_reason(
    client: OpenAI, options: dict[str, Any], message: str, param: str | None, streams: bool
) -> None:
    if streams and "stream_options" in options:
        options = {"stream_options": {"else": 1}}
        message, param = "not permitted", "stream_options.else"
    request: dict[str, Any] = {"model": "tiny", "messages": ASKED, "stream": streams, **options}
    with pytest.raises(openai.BadRequestError, match=message) as caught:
        client.chat.completions.create(**request)
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"
    assert client.chat.completions.create(model="tiny", messages=ASKED).choices, "it goes on"


@pytest.mark.parametrize(
    ("prompt", "message", "param"),
    [
        ("", "prompt: it is empty; there must be a text to go on from", "prompt"),
        ([], "prompt: it is empty", "prompt"),
        (["a", ""], "prompt.1: it is empty", "prompt.1"),
        ([1, 2], "prompt.0: token ids are not taken here; it must be a text", "prompt.0"),
        ([[1, 2]], "prompt.0: token ids are not taken here", "prompt.0"),
        (5, "prompt: token ids are not taken here; it must be a text, or a list", "prompt"),
        (None, "prompt: it must be a text, or a list of texts", "prompt"),
        ({"text": "x"}, "prompt: it must be a text, or a list of texts", "prompt"),
        (["a"] * 65, "at most 64 items", "prompt"),
    ],
)
def test_a_prompt_that_is_none_is_refused_with_the_reason(
    client: OpenAI, prompt: Any, message: str, param: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=re.escape(message)) as caught:
        client.completions.create(model="tiny", prompt="x", extra_body={"prompt": prompt})
    assert caught.value.param == param


def test_what_asks_for_nothing_is_let_through(client: OpenAI) -> None:
    reply = client.chat.completions.create(
        model="tiny",
        messages=[{"role": "user", "content": [{"type": "text", "text": QUESTION}], "name": ""}],
        n=1,
        logprobs=False,
        tools=[],
        response_format={"type": "text"},
        presence_penalty=0,
        user="somebody",
        extra_body={"top_k": None},
    )
    assert reply.choices[0].message.content == alone()


def post(server: Running, content: bytes, **headers: str) -> httpx.Response:
    usual = {"content-type": "application/json"}
    where = f"{server.url}/chat/completions"
    return httpx.post(where, content=content, headers={**usual, **headers}, timeout=60)


def test_a_broken_request_is_told_in_the_same_form(server: Running) -> None:
    def error(answer: httpx.Response, status: int) -> str:
        assert answer.status_code == status
        return answer.json()["error"]["message"]

    assert "no JSON" in error(post(server, b"{"), 400)
    assert "no JSON" in error(post(server, b'{"model": "\xff"}'), 400)
    assert "no JSON" in error(post(server, b"[" * 100_000), 400)
    assert "the body" in error(post(server, b"[]"), 400)
    assert "model: it must be given" in error(post(server, b"{}"), 400)
    body = json.dumps({"model": "tiny", "messages": ASKED}).encode()
    assert "must be JSON" in error(post(server, body, **{"content-type": "text/plain"}), 415)
    assert "bytes" in error(post(server, b" " * (BODY_BYTES + 1)), 413)
    assert "not called 'evil.example'" in error(post(server, body, host="evil.example"), 403)
    unknown = error(httpx.post(f"{server.url}/embeddings"), 404)
    assert "no path '/v1/embeddings' here; there are GET /health, GET /v1/models, POST" in unknown
    wrong = httpx.get(f"{server.url}/completions")
    assert error(wrong, 405) == "'/v1/completions' takes POST, not GET"
    assert wrong.headers["allow"] == "POST"
    wrong = httpx.post(f"{server.url}/models", json={})
    assert error(wrong, 405) == "'/v1/models' takes GET and HEAD, not POST"
    chunked = httpx.post(
        f"{server.url}/completions",
        content=iter([b" " * 2**20] * 5),
        headers={"content-type": "application/json"},
    )
    assert "bytes" in error(chunked, 413)


def test_health_needs_no_key(server: Running) -> None:
    root = server.url.removesuffix("/v1")
    assert httpx.get(f"{root}/health").json() == {"status": "ok", "unanswered": 0}
    assert httpx.get(f"{root}/docs").status_code == 404


def endless_model() -> Any:
    """A model that never gives an end token: theirs are the only ones with a score of 0."""
    model = build_llama(initializer_range=0.3, max_position_embeddings=100_000)
    model.get_input_embeddings().weight.data[[0, 1, 2]] = 0.0
    return model


def test_a_client_that_goes_away_ends_its_answer() -> None:
    model, passes = endless_model(), list[int]()
    model.register_forward_hook(lambda *_: passes.append(1))
    with running(model, build_tokenizer(), bound=None, max_new_tokens=90_000) as server:
        with server.client() as client:
            stream = client.completions.create(model="tiny", prompt="x", stream=True)
            next(iter(stream))
            assert not server.wait_until_idle(3), "it does not end by itself"
            stream.close()
            assert server.wait_until_idle()
        body = json.dumps({"model": "tiny", "prompt": "x"})
        address = urlsplit(server.url)
        assert address.hostname is not None
        with socket.create_connection((address.hostname, address.port or 0)) as bare:
            head = (
                f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}"
            )
            bare.sendall(f"{head}\r\nContent-Type: application/json\r\n\r\n{body}".encode())
            server.wait_until_begun()
        assert server.wait_until_idle()
    assert len(passes) < 90_000


def test_one_too_many_is_turned_away_and_the_end_comes_at_once() -> None:
    with (
        running(
            endless_model(),
            build_tokenizer(),
            bound=None,
            max_new_tokens=90_000,
            most_waiting=1,
            max_batch=1,
        ) as server,
        server.client() as client,
        ThreadPoolExecutor(1) as pool,
    ):
        first = client.completions.create(model="tiny", prompt="x", stream=True)
        next(iter(first))
        second = pool.submit(client.completions.create, model="tiny", prompt="x")
        while server.worker.unanswered < 2:
            time.sleep(0.01)
        with pytest.raises(openai.InternalServerError, match="1 requests wait already") as caught:
            client.completions.create(model="tiny", prompt="x")
        assert caught.value.status_code == 503
        assert caught.value.response.headers["retry-after"] == "5"
        server.worker.end()
        with pytest.raises(openai.InternalServerError, match="the server is ending"):
            second.result(60)
        with pytest.raises(openai.APIError, match="the server is ending"):
            list(first)


def test_a_key_is_asked_for() -> None:
    with running(build_llama(), build_tokenizer(), bound=None, key="söcret") as server:
        body = {"model": "tiny", "prompt": "x"}
        for given in (None, "Bearer wrong", "Bearer", "Basic söcret", "söcret"):
            headers: Any = {} if given is None else {"authorization": given.encode()}
            answer = httpx.post(f"{server.url}/completions", json=body, headers=headers)
            assert answer.status_code == 401, given
            assert "asks for its key" in answer.json()["error"]["message"]
        with server.client("wrong") as client, pytest.raises(openai.AuthenticationError):
            client.models.list()
        right: Any = {"authorization": "Bearer söcret".encode()}
        assert httpx.get(f"{server.url}/models", headers=right).status_code == 200
        assert httpx.post(f"{server.url}/completions", json=body, headers=right).is_success


def test_a_model_that_fails_says_so_and_the_next_request_is_answered(
    server: Running, client: OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(server.generator, "segment_ids", lambda _: 1 / 0)
        with pytest.raises(openai.InternalServerError, match="the model failed: ZeroDivision"):
            client.completions.create(model="tiny", prompt="x")
    assert client.completions.create(model="tiny", prompt="x").choices[0].text


def test_conversations_go_through_the_chat_template_of_the_training() -> None:
    tokenizer = build_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    bound = bind("chat_template", shared=Shared(tokenizer=Encoder(tokenizer).facts()))
    talk: Any = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Hi."},
        {"role": "assistant", "content": "Yes?"},
        *ASKED,
    ]
    seen: list[str] = []
    model = build_llama(eos_token_id=500, initializer_range=0.3)
    with running(model, tokenizer, bound=bound) as server, server.client() as client:
        ids = server.generator.segment_ids

        def noted(segments: Any) -> list[int]:
            seen.extend(part.text for part in segments)
            return ids(segments)

        server.generator.segment_ids = noted
        client.chat.completions.create(model="tiny", messages=talk)
    assert seen == [
        f"<system>Be brief.</s><user>Hi.</s><assistant>Yes?</s><user>{QUESTION}</s><assistant>"
    ]
