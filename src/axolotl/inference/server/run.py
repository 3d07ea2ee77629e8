"""The socket: where the server listens, and how it ends."""

from __future__ import annotations

import socket

import uvicorn
from starlette.applications import Starlette

from axolotl.errors import EnvironmentFault
from axolotl.inference.hosts import addresses_of
from axolotl.inference.server.worker import Worker

_LAST_S = 10
"""Seconds that open connections have to end in, and the model to come to rest."""


def listen(host: str, port: int) -> socket.socket:
    """Open the socket, so that a port that is taken is known before the model is loaded.

    Args:
        host: Where to listen.
        port: The port; 0 for any that is free.

    Raises:
        EnvironmentFault: it cannot be.
    """
    family, _, _, _, address = addresses_of(host, port)[0]
    try:
        return socket.create_server(address[:2], family=family, backlog=128)
    except OSError as error:
        raise EnvironmentFault(
            f"cannot listen on {host}:{port}: {error.strerror}",
            hint="choose another one with --port, or 0 for any that is free",
        ) from error


def url_of(listening: socket.socket) -> str:
    """The address that clients are given."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"


class Server(uvicorn.Server):
    """A server that gives up its requests when it is told to end.

    Args:
        app: The application.
        worker: What answers.
    """

    def __init__(self, app: Starlette, worker: Worker) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_LAST_S,
        )
        super().__init__(config)
        self._worker = worker

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End answers first, or those who wait would hold up the end."""
        self._worker.end()
        await super().shutdown(sockets)


def serve(app: Starlette, worker: Worker, listening: socket.socket) -> None:
    """Answer until Ctrl-C."""
    try:
        Server(app, worker).run(sockets=[listening])
    except KeyboardInterrupt:  # of the signal that the server has ended by already
        pass
    finally:
        worker.join(_LAST_S)
