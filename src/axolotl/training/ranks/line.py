"""One connection between two processes of a run: messages, and an end that the system notices."""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import socket
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

KEEPALIVE: Mapping[str, int] = {
    "TCP_KEEPALIVE": 5,  # what macOS calls the next
    "TCP_KEEPIDLE": 5,
    "TCP_KEEPINTVL": 4,
    "TCP_KEEPCNT": 4,
}
"""Seconds until the system asks a silent machine, and between questions; how many may stay unanswered.
A machine counts as lost after 21 s: longer than a network or a virtual machine that is moved pauses, and
short enough for all to have ended within 30."""
BYE = {"bye": True}
"""The last message of who leaves as it should."""
_LONGEST = 4096
_open: weakref.WeakSet[socket.socket] = weakref.WeakSet()


def _close_in_child() -> None:
    """A worker that reads data would hold the connections of a process that is gone."""
    for one in list(_open):
        one.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


def own(one: socket.socket) -> socket.socket:
    """Have no child of this process hold a socket.

    Args:
        one: The socket.

    Returns:
        The same.
    """
    _open.add(one)
    return one


@dataclass(eq=False)
class Line:
    """One connection.

    Args:
        socket: Of it.
        rank: Who is at the other end; None until it is known that both count on the line.
        words: Its machine and its number there; empty until it has said so.
        read: What has come and is no whole line yet.
        since: When it was made.
        early: Messages that came with the answer, and are read next.
    """

    socket: socket.socket
    rank: int | None
    words: dict[str, Any]
    read: bytes = b""
    since: float = 0.0
    early: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def __post_init__(self) -> None:
        """Have the system look after the other machine.

        Raises:
            OSError: the connection has ended already.
        """
        own(self.socket)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE.items():
            if hasattr(socket, name):
                self.socket.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message; who is gone need not get it."""
        with contextlib.suppress(OSError):
            self.socket.sendall(json.dumps(message).encode() + b"\n")

    def messages(self) -> list[dict[str, Any]]:
        """What has come; perhaps no whole message yet.

        Raises:
            OSError: the connection is closed, or the other machine is lost.
            ValueError: it is no message.
            RecursionError: the same; only a stranger sends that.
        """
        if self.early:
            early, self.early = self.early, []
            return early
        found = self.socket.recv(_LONGEST)
        if not found:
            raise ConnectionResetError("closed")
        *whole, self.read = (self.read + found).split(b"\n")
        if len(self.read) > _LONGEST:
            raise ValueError("no end of line")
        messages = [json.loads(line) for line in whole]
        if not all(isinstance(message, dict) for message in messages):
            raise ValueError("no message")
        return messages

    def answer(self) -> dict[str, Any]:
        """The first message, waited for; empty where none comes that can be read."""
        try:
            while not (found := self.messages()):
                pass
        except (OSError, ValueError, RecursionError):
            return {}
        first, *self.early = found
        return first


def knows(message: Mapping[str, Any], token: str) -> bool:
    """Whether who sent a message knows the token of the run.

    Args:
        message: Of anybody.
        token: Of the run.
    """
    # Texts of other letters than ASCII's cannot be compared, bytes can.
    said = str(message.get("token")).encode("utf-8", "replace")
    return hmac.compare_digest(said, token.encode())
