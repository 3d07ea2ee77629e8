"""A connection of each process to the first one, by which it is known at once that one is gone.

Who is killed leaves no word, but the system that it ran on closes its connections, whatever it was
doing; and where a whole machine is lost, that of the other end asks a few times and is not answered.
No program has a part in it: a process that is stopped, swapped out or busy for hours keeps its
connection, which signs of life could not tell from one that is gone.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import secrets
import selectors
import socket
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from axolotl.core.console import note
from axolotl.training.ranks.listening import listen
from axolotl.training.ranks.post import Letters, Place

KEEPALIVE: Mapping[str, int] = {
    "TCP_KEEPALIVE": 5,  # what macOS calls the next
    "TCP_KEEPIDLE": 5,
    "TCP_KEEPINTVL": 4,
    "TCP_KEEPCNT": 4,
}
"""Seconds until the system asks a silent machine, and between questions; how many may stay unanswered.
A machine counts as lost after 21 s: longer than a network or a virtual machine that is moved pauses, and
short enough for all to have ended within 30."""
_CONNECT_S = 5.0
_GREETS_S = 10.0
_LOOK_S = 0.5
_LONGEST = 4096
_BYE = {"bye": True}
Lost = Callable[[dict[str, Any]], None]
_open: weakref.WeakSet[socket.socket] = weakref.WeakSet()


def _close_in_child() -> None:
    """A worker that reads data would hold the connections of a process that is gone."""
    for one in list(_open):
        one.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


@dataclass(eq=False)
class _Line:
    """One connection.

    Args:
        socket: Of it.
        rank: Who is at the other end; None until it has said so.
        words: Its machine and its number there.
        read: What has come and is no whole line yet.
        since: When it was made.
    """

    socket: socket.socket
    rank: int | None
    words: dict[str, Any]
    read: bytes = b""
    since: float = 0.0

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message; who is gone need not get it."""
        with contextlib.suppress(OSError):
            self.socket.sendall(json.dumps(message).encode() + b"\n")

    def messages(self) -> list[dict[str, Any]]:
        """What has come; perhaps no whole message yet.

        Raises:
            OSError: the connection is closed, or the other machine is lost.
            ValueError: it is no message.
        """
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


class Lines:
    """The connections of this process: that to the first one, or those of the first one to all others.

    Args:
        letters: The post, on a connection of its own; the first process leaves there how it is reached.
        say: Prints a line; by default as a note.
    """

    def __init__(self, letters: Letters, *, say: Callable[[str], Any] = note) -> None:
        self._letters = letters
        self._say = say
        self._lines: list[_Line] = []
        self._ended = threading.Event()
        self._listening: socket.socket | None = None
        self._token = secrets.token_hex(16)

    @property
    def place(self) -> Place:
        """Which process this is."""
        return self._letters.place

    def start(self, lost: Lost) -> None:
        """Begin.

        Args:
            lost: Called, from another thread, when one is gone; takes `rank`, `words` and whether it is
                the whole `machine`, or of one that another process has lost, `told`: what it said.
        """
        work = self._reach_first
        if self.place.rank == 0:
            self._listening, addresses = listen()
            _open.add(self._listening)
            port = self._listening.getsockname()[1]
            there = {"addresses": addresses, "port": port, "token": self._token}
            self._letters.put("line", there)
            work = self._watch
        threading.Thread(target=work, args=(lost,), name="lines", daemon=True).start()

    def watch(self, rank: int) -> bool:
        """Whether the end of that process would be known: by its own line, or from the first process."""
        known = {line.rank for line in list(self._lines)}
        return rank in known if self.place.rank == 0 else 0 in known

    def tell(self, what: str, *, machine: bool) -> None:
        """Tell those at the other ends whom this process has lost."""
        for line in list(self._lines):
            line.send({"told": what, "machine": machine})

    def end(self) -> None:
        """This process leaves, as it should."""
        self._ended.set()
        for line in list(self._lines):
            line.send(_BYE)

    def _reach_first(self, lost: Lost) -> None:
        try:
            there = self._where()
            line = self._connect(there) if there else None
        except RuntimeError:
            return  # the store has gone; the pulse says so
        if there and line is None:
            self._say(
                f"rank {self.place.rank} does not reach port {there['port']} of rank 0: if that machine "
                "is lost, it is found out by its silence only"
            )
        if line is not None:
            self._lines.append(line)
            self._watch(lost)

    def _where(self) -> dict[str, Any] | None:
        while not self._ended.is_set():
            if found := self._letters.get_all("line", [0]):
                return found[0]
            self._ended.wait(_LOOK_S)
        return None

    def _connect(self, there: Mapping[str, Any]) -> _Line | None:
        """The line to the first process, which must know the token too: another may have that address."""
        for address in there["addresses"]:
            try:
                made = socket.create_connection((address, there["port"]), timeout=_CONNECT_S)
            except OSError:
                continue
            line = _Line(_kept(made), 0, {})
            line.send({"token": there["token"], "rank": self.place.rank, **self.place.words()})
            answer = _answer(line)
            if hmac.compare_digest(str(answer.get("token")), there["token"]):
                line.words = answer
                return line
            made.close()
        return None

    def _watch(self, lost: Lost) -> None:
        """Wait for messages and ends until this process leaves."""
        with selectors.DefaultSelector() as ready:
            for one in (self._listening, *(line.socket for line in self._lines)):
                if one is not None:
                    ready.register(one, selectors.EVENT_READ)
            lines = {line.socket: line for line in self._lines}
            while not self._ended.is_set() and ready.get_map():
                for key, _ in ready.select(_LOOK_S):
                    found: Any = key.fileobj
                    if found is self._listening:
                        made, _ = found.accept()
                        made.settimeout(_CONNECT_S)
                        ready.register(_kept(made), selectors.EVENT_READ)
                        lines[made] = _Line(made, None, {}, since=time.monotonic())
                    elif self._hear(lines[found], lost):
                        ready.unregister(found)
                        self._drop(lines.pop(found))
                for line in [one for one in lines.values() if _dumb(one)]:
                    ready.unregister(line.socket)
                    self._drop(lines.pop(line.socket))
            for one in lines.values():
                self._drop(one)
        if self._listening is not None:
            self._listening.close()

    def _drop(self, line: _Line) -> None:
        line.socket.close()
        if line in self._lines:
            self._lines.remove(line)

    def _hear(self, line: _Line, lost: Lost) -> bool:
        """Take what has come; whether the line has ended."""
        try:
            for message in line.messages():
                if line.rank is None and not self._greet(line, message):
                    return True
                if "bye" in message:
                    return True
                if "told" in message:
                    lost(message)
        except (OSError, ValueError) as error:
            if line.rank is not None and not self._ended.is_set():
                gone = isinstance(error, (ConnectionError, ValueError))
                lost({"rank": line.rank, "words": line.words, "machine": not gone})
            return True
        return False

    def _greet(self, line: _Line, message: Mapping[str, Any]) -> bool:
        """Whether who has connected is a process of the run."""
        if not hmac.compare_digest(str(message.get("token")), self._token):
            return False
        line.rank, line.words = int(message["rank"]), dict(message)
        line.send({"token": self._token, **self.place.words()})
        self._lines.append(line)
        return True


def _answer(line: _Line) -> dict[str, Any]:
    """The first message; what the first process sends later comes in answer to nothing."""
    try:
        while not (found := line.messages()):
            pass
    except (OSError, ValueError):
        return {}
    return found[0]


def _dumb(line: _Line) -> bool:
    """Connected, and never said who it is."""
    return line.rank is None and time.monotonic() - line.since > _GREETS_S


def _kept(one: socket.socket) -> socket.socket:
    """Have the system look after the other machine."""
    one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if hasattr(socket, name):
            one.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    _open.add(one)
    return one
