"""What a request must bring before it is read: the key, the right host, not too many bytes."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Collection

from starlette.requests import Request

from axolotl.inference.hosts import name_in
from axolotl.inference.server.errors import ApiError

BODY_BYTES = 4 * 2**20
BODY_S = 30


def check_key(request: Request, key: str | None) -> None:
    """Let only those in who know the key, where there is one.

    Raises:
        ApiError: no key, or another one.
    """
    if key is None:
        return
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    same = hmac.compare_digest(given.strip().encode("latin-1"), key.encode())
    if kind.lower() != "bearer" or not same:
        raise ApiError(
            401,
            "this server asks for its key: `Authorization: Bearer KEY`",
            code="invalid_api_key",
        )


def check_host(request: Request, hosts: Collection[str] | None) -> None:
    """Refuse requests for another host: a web page may have its own name point at this machine.

    Raises:
        ApiError: the header names none of `hosts`.
    """
    if hosts is None:
        return
    name = name_in(request.headers.get("host", ""))
    if name not in hosts:
        raise ApiError(403, f"this server is not called '{name}'", code="wrong_host")


async def read_content(request: Request) -> bytes:
    """The body.

    Raises:
        ApiError: it is no JSON by its header, too long, or does not come.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":  # what a web page may send anywhere unasked is not that
        raise ApiError(415, "the body must be JSON: send `Content-Type: application/json`")
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > BODY_BYTES:
        raise _too_long()
    try:
        return await asyncio.wait_for(_bounded(request), BODY_S)
    except asyncio.TimeoutError as error:
        raise ApiError(408, f"the body did not come within {BODY_S} seconds") from error


async def _bounded(request: Request) -> bytes:
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > BODY_BYTES:
            raise _too_long()
    return bytes(content)


def _too_long() -> ApiError:
    return ApiError(413, f"the body has more than {BODY_BYTES:,} bytes")
