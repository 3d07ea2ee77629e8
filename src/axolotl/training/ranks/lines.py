"""A connection of each process to the first one, by which it is known at once that one is gone.

Who is killed leaves no word, but the system that it ran on closes its connections, whatever it was
doing; and where a whole machine is lost, that of the other end asks a few times and is not answered.
No program has a part in it: a process that is stopped, swapped out or busy for hours keeps its
connection, which signs of life could not tell from one that is gone.
"""

from __future__ import annotations

import secrets
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from axolotl.core.console import note
from axolotl.training.ranks.line import BYE, Line, knows, own
from axolotl.training.ranks.listening import listen
from axolotl.training.ranks.post import Letters, Place

_CONNECT_S = 5.0
_GREETS_S = 10.0
_LOOK_S = 0.5
_STRANGERS = 64
"""How many beyond the processes of the run may be connected without having said who they are."""
_HERE = {"here": True}
Lost = Callable[[dict[str, Any]], None]


class Lines:
    """The connections of this process: that to the first one, or those of the first one to all others.

    Args:
        letters: The post, on a connection of its own; the first process leaves there how it is reached.
        say: Prints a line; by default as a note.
    """

    def __init__(self, letters: Letters, *, say: Callable[[str], Any] = note) -> None:
        self._letters = letters
        self._say = say
        self._lines: list[Line] = []
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
            own(self._listening).settimeout(0)
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
            line.send(BYE)

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
            if line.early and self._hear(line, lost):
                self._drop(line)
            else:
                self._watch(lost)

    def _where(self) -> dict[str, Any] | None:
        while not self._ended.is_set():
            if found := self._letters.get_all("line", [0]):
                return found[0]
            self._ended.wait(_LOOK_S)
        return None

    def _connect(self, there: Mapping[str, Any]) -> Line | None:
        """The line to the first process, which must know the token too: another may have that address."""
        for address in there["addresses"]:
            try:
                made = socket.create_connection((address, there["port"]), timeout=_CONNECT_S)
                line = Line(made, 0, {})
            except OSError:
                continue
            line.send({"token": there["token"], "rank": self.place.rank, **self.place.words()})
            answer = line.answer()
            if knows(answer, there["token"]):
                line.words = answer
                line.send(_HERE)
                return line
            line.send(BYE)
            made.close()
        return None

    def _watch(self, lost: Lost) -> None:
        """Wait for messages and ends until this process leaves."""
        lines = {line.socket: line for line in self._lines}
        try:
            self._read(lines, lost)
        finally:
            # Whatever has ended this: nobody is to count on a line that is not read any more.
            for line in lines.values():
                line.send(BYE)
                self._drop(line)
            if self._listening is not None:
                self._listening.close()

    def _read(self, lines: dict[socket.socket, Line], lost: Lost) -> None:
        with selectors.DefaultSelector() as ready:
            for one in (self._listening, *lines):
                if one is not None:
                    ready.register(one, selectors.EVENT_READ)
            while not self._ended.is_set() and ready.get_map():
                ended: list[Line] = []
                for key, _ in ready.select(_LOOK_S):
                    found: Any = key.fileobj
                    if found is not self._listening:
                        if self._hear(lines[found], lost):
                            ended.append(lines[found])
                    elif (line := self._let_in()) is not None:
                        ready.register(line.socket, selectors.EVENT_READ)
                        lines[line.socket] = line
                for line in {*ended, *_unwelcome(lines.values(), self.place.world_size)}:
                    ready.unregister(line.socket)
                    self._drop(lines.pop(line.socket))

    def _let_in(self) -> Line | None:
        assert self._listening is not None
        try:
            made, _ = self._listening.accept()
            made.settimeout(_CONNECT_S)
            return Line(made, None, {}, since=time.monotonic())
        except OSError:
            # It has gone again, or this process may open no more files: it is asked again later.
            self._ended.wait(_LOOK_S)
            return None

    def _drop(self, line: Line) -> None:
        line.socket.close()
        if line in self._lines:
            self._lines.remove(line)

    def _hear(self, line: Line, lost: Lost) -> bool:
        """Take what has come; whether the line has ended."""
        try:
            for message in line.messages():
                if not line.words and not self._greet(line, message):
                    return True
                if "bye" in message:
                    return True
                if "here" in message:
                    line.rank = int(line.words["rank"])
                elif "told" in message:
                    lost(message)
        except Exception as error:
            if line.rank is None:
                return True  # a stranger, who may send anything, or one that waits no longer
            if not isinstance(error, (OSError, ValueError)):
                raise
            if not self._ended.is_set():
                gone = isinstance(error, (ConnectionError, ValueError))
                lost({"rank": line.rank, "words": line.words, "machine": not gone})
            return True
        return False

    def _greet(self, line: Line, message: Mapping[str, Any]) -> bool:
        """Whether who has connected is a process of the run.

        The end of the line is that of the process only when the other has read the answer, and says so.
        This process may have been stopped, or busy loading libraries, for longer than the other waits:
        then that has closed the line, and lives.
        """
        if not knows(message, self._token):
            return False
        line.words = dict(message)
        line.send({"token": self._token, **self.place.words()})
        self._lines.append(line)
        return True


def _unwelcome(lines: Iterable[Line], world_size: int) -> list[Line]:
    """Those who have not said for long who they are, and the first of them where there are many."""
    silent = [line for line in lines if not line.words]
    most = world_size + _STRANGERS
    now = time.monotonic()
    late = [line for line in silent if now - line.since > _GREETS_S]
    return [*silent[:-most], *late]
