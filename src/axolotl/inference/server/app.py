"""Paths of the server, and what happens on each."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import time
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from axolotl.formats import BoundFormat
from axolotl.inference.options import GenerationOptions
from axolotl.inference.server.bodies import Body, ChatBody, CompletionBody, read_body
from axolotl.inference.server.errors import ApiError
from axolotl.inference.server.jobs import Ended, Job, Piece, Started
from axolotl.inference.server.limits import check_host, check_key, read_content
from axolotl.inference.server.paths import path_error
from axolotl.inference.server.prompts import chat_segments, text_segments
from axolotl.inference.server.replies import Reply, error_event
from axolotl.inference.server.worker import Worker

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass
class Service:
    """What the paths share.

    Args:
        worker: Answers.
        name: What the model is called.
        bound: The format that questions are asked in; None for plain text.
        usual: How answers are chosen where a request says nothing.
        key: What clients must know; None for nothing.
        hosts: Names that the server answers to; None for any.
    """

    worker: Worker
    name: str
    bound: BoundFormat | None
    usual: GenerationOptions
    key: str | None = field(default=None, repr=False)
    hosts: Collection[str] | None = None
    numbers: itertools.count[int] = field(default_factory=itertools.count)
    since: int = field(default_factory=lambda: int(time()))

    def app(self) -> Starlette:
        """The application."""
        routes = [
            Route("/health", self._health),
            Route("/v1/models", self._guarded(self._models)),
            Route("/v1/models/{name:path}", self._guarded(self._model)),
            Route("/v1/chat/completions", self._guarded(self._chat), methods=["POST"]),
            Route("/v1/completions", self._guarded(self._complete), methods=["POST"]),
        ]
        return Starlette(
            routes=routes,
            exception_handlers={
                ApiError: _told,
                HTTPException: _told,
                ClientDisconnect: _nobody_there,
            },
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        self.worker.start()
        try:
            yield
        finally:
            self.worker.end()

    def _guarded(self, endpoint: Endpoint) -> Endpoint:
        async def guarded(request: Request) -> Response:
            check_host(request, self.hosts)
            check_key(request, self.key)
            return await endpoint(request)

        return guarded

    async def _health(self, _: Request) -> Response:
        return JSONResponse({"status": "ok", "unanswered": self.worker.unanswered})

    async def _models(self, _: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self._described()]})

    async def _model(self, request: Request) -> Response:
        self._must_be_served(request.path_params["name"])
        return JSONResponse(self._described())

    def _described(self) -> dict[str, Any]:
        return {"id": self.name, "object": "model", "created": self.since, "owned_by": "axolotl"}

    def _must_be_served(self, name: str) -> None:
        if name != self.name:
            raise ApiError(
                404,
                f"there is no model '{name}' here; there is '{self.name}'",
                param="model",
                code="model_not_found",
            )

    async def _chat(self, request: Request) -> Response:
        body = read_body(ChatBody, await read_content(request))
        reply = self._reply(body, chat=True)
        return await self._answer(
            request, body, reply, lambda: [chat_segments(body.messages, self.bound)]
        )

    async def _complete(self, request: Request) -> Response:
        body = read_body(CompletionBody, await read_content(request))
        reply = self._reply(body, chat=False, answers=len(body.prompts))
        return await self._answer(
            request, body, reply, lambda: [text_segments(text) for text in body.prompts]
        )

    def _reply(self, body: Body, *, chat: bool, answers: int = 1) -> Reply:
        self._must_be_served(body.model)
        usage = body.stream_options is not None and body.stream_options.include_usage
        return Reply(self.name, chat=chat, include_usage=usage, answers=answers)

    async def _answer(
        self, request: Request, body: Body, reply: Reply, prompts: Callable[[], Any]
    ) -> Response:
        job = Job(prompts, body.options(self.usual, number=next(self.numbers)))
        self.worker.submit(job)
        events = job.events()
        watcher = asyncio.create_task(_give_up_when_gone(request, job))
        streams = False
        try:
            # Nothing is promised before the prompts are known to be some.
            async for happened in events:
                assert isinstance(happened, Started)
                reply.prompt_tokens = happened.prompt_tokens
                break
            streams = bool(body.stream)
            if streams:
                return Streamed(_stream(events, reply), job=job)
            async for happened in events:
                assert not isinstance(happened, Started)
                reply.take(happened)
            return JSONResponse(reply.whole())
        finally:
            watcher.cancel()
            if not streams:
                job.given_up.set()


class Streamed(StreamingResponse):
    """Server-sent events; when it ends, early or not, so does the request.

    Args:
        events: The events.
        job: The request.
    """

    def __init__(self, events: AsyncIterator[str], *, job: Job) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(events, media_type="text/event-stream", headers=headers)
        self._job = job

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._job.given_up.set()


async def _stream(
    events: AsyncIterator[Started | Piece | Ended], reply: Reply
) -> AsyncIterator[str]:
    """The reply as server-sent events."""
    for first in reply.begin():
        yield first
    try:
        async for happened in events:
            assert not isinstance(happened, Started)
            yield reply.chunk(happened)
    except ApiError as error:
        yield error_event(error)
        return
    for last in reply.end():
        yield last


async def _give_up_when_gone(request: Request, job: Job) -> None:
    """End the request when its client has gone away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    job.given_up.set()
    job.tell(None)


async def _told(request: Request, error: Exception) -> Response:
    """An error in the form that clients know."""
    if isinstance(error, HTTPException):
        error = path_error(request, error)
    assert isinstance(error, ApiError)
    return JSONResponse(error.body(), status_code=error.status, headers=error.headers())


async def _nobody_there(_: Request, __: Exception) -> Response:
    """The client went away before its request was whole."""
    return Response(status_code=400)
