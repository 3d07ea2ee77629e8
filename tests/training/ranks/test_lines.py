"""The connections by which the end of a process is known: here processes and threads of one machine."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, cast

import pytest
import torch.distributed as dist

from axolotl.cli.launch import agent
from axolotl.training.ranks import lines as module
from axolotl.training.ranks import pulse as pulses
from axolotl.training.ranks.line import KEEPALIVE
from axolotl.training.ranks.lines import Lines
from axolotl.training.ranks.post import Place, Post
from axolotl.training.ranks.pulse import Pulse

OTHER = """
import os, sys, time
import torch.distributed as dist
from axolotl.training.ranks.lines import Lines
from axolotl.training.ranks.post import Place, Post
store = dist.TCPStore("127.0.0.1", int(sys.argv[1]), is_master=False)
lines = Lines(Post(Place(int(sys.argv[2]), 3, "far", os.getpid()), store))
lines.start(lambda found: print(found, flush=True))
if sys.argv[3] == "forks":
    while not lines.watch(0):
        time.sleep(0.05)
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
sys.stdin.readline()
lines.end()
"""


def until(reached: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while not (found := reached()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("MASTER_ADDR", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    return dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # pyright: ignore[reportPrivateImportUsage]


@pytest.fixture
def first(store: Any) -> Iterator[tuple[Lines, list[dict[str, Any]]]]:
    lines = Lines(Post(Place(0, 3, "near", os.getpid()), store))
    lost: list[dict[str, Any]] = []
    lines.start(lost.append)
    yield lines, lost
    lines.end()


@contextmanager
def other(store: Any, rank: int, how: str = "waits") -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-c", OTHER, str(store.port), str(rank), how]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    # A group of its own, so that a child that it leaves is ended with it.
    with subprocess.Popen(words, start_new_session=True, **pipes) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):  # all have ended
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["waits", "forks"])
def test_a_killed_process_is_known_at_once_and_the_others_are_told(
    store: Any, first: tuple[Lines, list[dict[str, Any]]], how: str
) -> None:
    """Also where a child of it, such as a worker that reads data, lives on."""
    lines, lost = first
    with other(store, 1, how) as killed, other(store, 2) as left:
        until(lambda: lines.watch(1) and lines.watch(2))
        time.sleep(1.0 if how == "forks" else 0.0)
        os.kill(killed.pid, signal.SIGKILL)
        (found,) = until(lambda: lost)
        assert (found["rank"], found["machine"]) == (1, False)
        assert (found["words"]["host"], found["words"]["pid"]) == ("far", killed.pid)
        lines.tell("rank 1 is gone", machine=False)
        assert left.stdout is not None
        assert "rank 1 is gone" in left.stdout.readline()
        assert not lines.watch(1)
        assert lines.watch(2)


@pytest.mark.slow
def test_who_leaves_or_is_stopped_is_not_lost(
    store: Any, first: tuple[Lines, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines, lost = first
    for name in KEEPALIVE:
        monkeypatch.setitem(cast("dict[str, int]", KEEPALIVE), name, 1)
    with other(store, 1) as process:
        until(lambda: lines.watch(1))
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(5)
        assert lines.watch(1)
        os.kill(process.pid, signal.SIGCONT)
        assert process.communicate("\n", timeout=60)[0] == ""
        until(lambda: not lines.watch(1))
        time.sleep(1)
    assert lost == []


def test_the_system_asks_as_often_as_is_said(
    store: Any, first: tuple[Lines, list[dict[str, Any]]]
) -> None:
    lines, _ = first
    second = Lines(Post(Place(1, 3, "far", 1), store))
    second.start(lambda _: None)
    until(lambda: lines.watch(1) and second.watch(0))
    for one in (lines, second):
        (line,) = one._lines  # pyright: ignore[reportPrivateUsage]
        assert line.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        if hasattr(socket, "TCP_KEEPIDLE"):
            for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"):
                asked = line.socket.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
                assert asked == KEEPALIVE[name]
    second.end()
    until(lambda: not lines.watch(1))


def test_all_have_ended_within_half_a_minute_after_a_machine_is_lost() -> None:
    """The promise of docs/multi_gpu.md; the launcher waits for what its processes do by themselves."""
    found = KEEPALIVE["TCP_KEEPIDLE"] + KEEPALIVE["TCP_KEEPINTVL"] * KEEPALIVE["TCP_KEEPCNT"]
    after_machine = pulses.ENDS_WITHOUT_MACHINE_S + pulses.LAST_WORD_S
    after_process = pulses.ENDS_S + pulses.LAST_WORD_S
    assert KEEPALIVE["TCP_KEEPALIVE"] == KEEPALIVE["TCP_KEEPIDLE"]
    assert found + after_machine <= 30
    assert found + agent._ENDS_AFTER_MACHINE_S <= 30  # pyright: ignore[reportPrivateUsage]
    assert after_machine < agent._ENDS_AFTER_MACHINE_S  # pyright: ignore[reportPrivateUsage]
    assert after_process < agent._ENDS_AFTER_PROCESS_S <= 30  # pyright: ignore[reportPrivateUsage]


def test_who_does_not_know_the_token_is_sent_away(
    store: Any, first: tuple[Lines, list[dict[str, Any]]]
) -> None:
    lines, lost = first
    there = Post(Place(1, 3, "far", 1), store).get("line", 0)
    assert there is not None
    greetings = (
        *(b'{"token": "x", "rank": 1}\n', b"GET / HTTP/1.1\r\n", b"[1]\n", b"x" * 9000),
        *('{"token": "é"}\n'.encode(), b'{"token": "\\ud800"}\n', b"[" * 4000 + b"\n"),
    )
    for greeting in greetings:
        with socket.create_connection(("127.0.0.1", there["port"]), timeout=60) as stranger:
            stranger.sendall(greeting)
            with suppress(ConnectionResetError):  # what it said was not read to its end
                assert stranger.recv(1) == b""
    assert not lines.watch(1)
    assert lost == []
    assert_who_belongs_is_let_in(store, lines)


def assert_who_belongs_is_let_in(store: Any, lines: Lines) -> None:
    second = Lines(Post(Place(1, 3, "far", 1), store))
    second.start(lambda _: None)
    until(lambda: lines.watch(1) and second.watch(0))
    second.end()
    until(lambda: not lines.watch(1))


def test_many_who_say_nothing_shut_nobody_out(
    store: Any, first: tuple[Lines, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines, lost = first
    monkeypatch.setattr(module, "_GREETS_S", 1e6)
    monkeypatch.setattr(module, "_STRANGERS", 4)
    there = Post(Place(1, 3, "far", 1), store).get("line", 0)
    assert there is not None
    with ExitStack() as opened:
        place = "127.0.0.1", there["port"]
        silent = [
            opened.enter_context(socket.create_connection(place, timeout=60)) for _ in range(20)
        ]
        for one in silent[:13]:  # of 3 processes and 4 others
            assert one.recv(1) == b""
        assert_who_belongs_is_let_in(store, lines)
        silent[-1].setblocking(False)
        with pytest.raises(BlockingIOError):
            silent[-1].recv(1)
    assert lost == []


class Full(socket.socket):
    """Cannot accept at first, as where a process may open no more files."""

    refused = 0

    def accept(self) -> tuple[socket.socket, Any]:
        if self.refused < 2:
            self.refused += 1
            raise OSError(errno.EMFILE, "too many open files")
        return super().accept()


def test_who_cannot_be_let_in_now_is_later(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    full = Full()
    full.bind(("127.0.0.1", 0))
    full.listen()
    monkeypatch.setattr(module, "listen", lambda: (full, ["127.0.0.1"]))
    lines = Lines(Post(Place(0, 3, "near", 1), store))
    lines.start(lambda _: None)
    assert_who_belongs_is_let_in(store, lines)
    assert full.refused == 2
    lines.end()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_where_nobody_watches_any_more_nobody_counts_on_it(store: Any) -> None:
    """The silence of the others is looked at again, and they take it for no end of this process."""

    def fails(_: Any) -> None:
        raise LookupError("a mistake of ours")

    lines, second = Lines(Post(Place(0, 3, "a", 1), store)), Lines(Post(Place(1, 3, "b", 1), store))
    lost: list[dict[str, Any]] = []
    lines.start(fails)
    second.start(lost.append)
    until(lambda: lines.watch(1) and second.watch(0))
    second.tell("rank 2 is gone", machine=False)
    until(lambda: not lines.watch(1) and not second.watch(0))
    assert lost == []
    with pytest.raises(ConnectionRefusedError):
        there = Post(Place(1, 3, "far", 1), store).get("line", 0) or {}
        socket.create_connection(("127.0.0.1", there["port"]), timeout=60)


def test_where_the_first_is_not_reached_it_is_said(store: Any) -> None:
    said: list[str] = []
    nobody = socket.create_server(("127.0.0.1", 0))
    there = {"addresses": ["127.0.0.1"], "port": nobody.getsockname()[1], "token": "t"}
    nobody.close()
    Post(Place(0, 2, "near", 1), store).put("line", there)
    lines = Lines(Post(Place(1, 2, "far", 1), store), say=said.append)
    lines.start(lambda _: None)
    until(lambda: said)
    assert "rank 1 does not reach port" in said[0]
    assert not lines.watch(0)


def test_who_is_silent_but_connected_is_not_gone(
    store: Any, first: tuple[Lines, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines, _ = first
    far = Post(Place(1, 3, "far", 1), store)
    far.put("hello", {**far.place.words(), "namespace": "far"})
    pulse = Pulse(Post(Place(0, 3, "near", 2), store), lines=lines, say=lambda _: None)
    monkeypatch.setattr("axolotl.training.ranks.pulse.GONE_S", 0.0)
    second = Lines(far)
    second.start(lambda _: None)
    until(lambda: lines.watch(1))
    pulse.look()
    assert pulse.lost is None
    second.end()
    until(lambda: not lines.watch(1))
    pulse.look()
    assert pulse.lost is not None
    assert "rank 1" in pulse.lost


@pytest.mark.parametrize("answered", [False, True], ids=["before the answer", "after it"])
def test_who_gave_up_connecting_is_not_gone(
    store: Any, first: tuple[Lines, list[dict[str, Any]]], *, answered: bool
) -> None:
    """The first process may have been stopped for longer than another waits for its answer."""
    lines, lost = first
    place = Place(1, 3, "far", 1)
    there = Post(place, store).get("line", 0)
    assert there is not None
    for goodbye in (b"", b'{"bye": true}\n'):
        with socket.create_connection(("127.0.0.1", there["port"]), timeout=60) as gives_up:
            greeting = {"token": there["token"], "rank": 1, **place.words()}
            gives_up.sendall(json.dumps(greeting).encode() + b"\n")
            if answered:
                assert there["token"].encode() in gives_up.recv(4096)
            gives_up.sendall(goodbye)
        assert_who_belongs_is_let_in(store, lines)
    assert lost == []


def test_who_gives_up_connecting_says_so(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CONNECT_S", 0.2)
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as busy:
        there = {"addresses": ["127.0.0.1"], "port": busy.getsockname()[1], "token": "t"}
        Post(Place(0, 2, "near", 1), store).put("line", there)
        Lines(Post(Place(1, 2, "far", 1), store), say=said.append).start(lambda _: None)
        until(lambda: said)
        with busy.accept()[0] as made, made.makefile() as read:
            greeting, goodbye = map(json.loads, read)
    assert greeting["rank"] == 1
    assert goodbye == {"bye": True}


def test_what_comes_with_the_answer_is_heard(store: Any) -> None:
    lost: list[dict[str, Any]] = []
    second = Lines(Post(Place(1, 2, "far", 1), store))
    with socket.create_server(("127.0.0.1", 0)) as busy:
        there = {"addresses": ["127.0.0.1"], "port": busy.getsockname()[1], "token": "t"}
        Post(Place(0, 2, "near", 1), store).put("line", there)
        second.start(lost.append)
        with busy.accept()[0] as made, made.makefile() as read:
            read.readline()
            told = {"told": "rank 2 is gone", "machine": False}
            made.sendall(b"".join(json.dumps(m).encode() + b"\n" for m in ({"token": "t"}, told)))
            assert json.loads(read.readline()) == {"here": True}
            until(lambda: lost)
            second.end()
    assert lost == [told]
