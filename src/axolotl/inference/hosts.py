"""Addresses to listen on, and who reaches them."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from typing import Any

from axolotl.errors import EnvironmentFault


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine can reach an address.

    Raises:
        EnvironmentFault: there is no such address.

    >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0"), is_loopback("::1")
    (True, False, True)
    """
    return all(
        ipaddress.ip_address(address.partition("%")[0]).is_loopback
        for *_, (address, *_) in addresses_of(host, 0)
    )


def addresses_of(host: str, port: int) -> list[Any]:
    """What `socket.getaddrinfo` says of a name or an address; of none, all addresses of this machine.

    Raises:
        EnvironmentFault: there is no such address.
    """
    try:
        return socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise EnvironmentFault(
            f"there is no address '{host}': {error.strerror}", where="--host"
        ) from error


def names_of(host: str) -> Collection[str]:
    """What a client on this machine may call a server that listens on a loopback address."""
    return {"localhost", "127.0.0.1", "[::1]", host.lower(), f"[{host.lower()}]"}


def name_in(header: str) -> str:
    """The name in a `Host` header.

    >>> name_in("Localhost:8000"), name_in("[::1]:8000"), name_in("")
    ('localhost', '[::1]', '')
    """
    name = header.rpartition("]")[0] + "]" if header.startswith("[") else header.partition(":")[0]
    return name.lower()


class OnlyNamed:
    """Refuses requests for another host: a web page may have its own name point at this machine.

    Args:
        app: The ASGI application that has the others.
        names: What it may be called.
    """

    def __init__(self, app: Any, names: Collection[str]) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Let a request through, or refuse it."""
        if scope["type"] == "lifespan" or self._fits(scope["headers"]):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        else:
            kind = [(b"content-type", b"text/plain; charset=utf-8")]
            await send({"type": "http.response.start", "status": 403, "headers": kind})
            await send({"type": "http.response.body", "body": b"this page has another name"})

    def _fits(self, headers: Collection[tuple[bytes, bytes]]) -> bool:
        hosts = [value.decode("latin-1") for name, value in headers if name.lower() == b"host"]
        return len(hosts) == 1 and name_in(hosts[0]) in self._names
