"""Who has nothing more to do stays until the first process has written; the first needs nobody for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch.distributed as dist

from axolotl.errors import ProcessLost
from axolotl.training.ranks import leaving
from axolotl.training.ranks import pulse as pulses
from axolotl.training.ranks.leaving import let_go
from axolotl.training.ranks.muster import Muster
from axolotl.training.ranks.post import Place, Post
from axolotl.training.ranks.pulse import Pulse
from tests.flows.spread import free_port


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulses, "BEAT_S", 0.02)
    monkeypatch.setattr(pulses, "ENDS_S", 60.0)  # the thread is not to end this very process
    monkeypatch.setattr(leaving, "_POLL_S", 0.02)


def posts(world: int = 2, *, far: Sequence[int] = ()) -> list[Post]:
    """One for each process; those that are far have numbers of another machine."""
    store = dist.HashStore()  # pyright: ignore[reportPrivateImportUsage]
    hosts = ["there" if rank in far else "here" for rank in range(world)]
    return [Post(Place(rank, world, host, os.getpid()), store) for rank, host in enumerate(hosts)]


def pulse_of(post: Post) -> Pulse:
    return Pulse(post, say=lambda _: None)


def until(reached: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 240
    while not (found := reached()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def test_the_others_stay_with_a_pulse_until_the_first_has_written() -> None:
    written, first = threading.Event(), posts(3)[0]
    places = [Place(rank, 3, "here", os.getpid()) for rank in range(3)]
    store: Any = first._store  # pyright: ignore[reportPrivateUsage]

    def run(place: Place) -> str:
        pulse = pulse_of(Post(place, store))
        pulse.start()
        with (muster := Muster(Post(place, store), pulse)).together():
            muster.part()
            if place.rank == 0:
                assert written.wait(60)
        return "left"

    with ThreadPoolExecutor(3) as pool:
        runs = [pool.submit(run, place) for place in places]
        for beyond in (0, 3, 6):  # a sign of life goes on coming, and no word of the end
            beats = until(
                lambda beyond=beyond: (
                    (found := first.get_all("beat", [1, 2])).keys() == {1, 2}
                    and all(b["count"] > beyond for b in found.values())
                    and all(b["stands"][1].startswith("waiting") for b in found.values())
                    and found
                )
            )
            assert beats[1]["stands"][1] == "waiting for rank 0 to write and send the result"
            assert not first.get_all("end", [1, 2])
            assert not any(one.done() for one in runs)
        written.set()
        assert [one.result(60) for one in runs] == ["left"] * 3
    assert first.get("end", 1) == {"done": True}
    assert first.get(leaving.THROUGH, 0) == {"gone": []}


def test_the_first_needs_nobody_for_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = posts(3)
    pulse, ended = pulse_of(first), list[Any]()
    monkeypatch.setattr(pulse, "_lose", lambda *what, **_: ended.append(what))
    for post in (second, third):
        post.put("hello", post.place.words())
    pulse.part()
    second.put("end", {"error": "KeyboardInterrupt"})
    pulse.look()
    pulse._hung_up({"rank": 2, "words": third.place.words(), "machine": False})  # pyright: ignore[reportPrivateUsage]
    pulse._hung_up({"told": "rank 2 is gone", "machine": False})  # pyright: ignore[reportPrivateUsage]
    assert (pulse.lost, ended) == (None, [])
    assert let_go(first, pulse) == [1, 2], "nobody waits for those"

    def gone(*_: Any) -> Any:
        raise dist.DistNetworkError("Broken pipe")

    monkeypatch.setattr(first, "put", gone)
    pulse._run()  # pyright: ignore[reportPrivateUsage]
    assert (pulse.lost, ended) == (None, [])
    assert let_go(first, pulse_of(first)) == [1, 2], "the store has gone, and the run is not lost"


def test_an_error_of_the_first_while_it_writes_is_its_own() -> None:
    first, second = posts()
    pulse = pulse_of(first)
    pulse.lost = f"rank 1 (process {second.place.pid} on here) is gone"
    with pytest.raises(RuntimeError) as caught, (muster := Muster(first, pulse)).together():
        muster.part()
        raise RuntimeError("Connection closed by peer")
    assert type(caught.value) is RuntimeError


@pytest.mark.parametrize("world", [3, 40])
def test_the_others_need_only_the_first(world: int) -> None:
    all_posts = posts(world)
    first, own, other = all_posts[0], all_posts[1], all_posts[2]
    pulse = pulse_of(own)
    for post in (first, other):
        post.put("hello", post.place.words())
    pulse.look()
    pulse.part()
    other.put("end", {"error": "OSError: of no matter"})
    pulse.look()
    assert pulse.lost is None
    first.put("end", {"error": "EnvironmentFault: no space left on the disk"})
    pulse.look()
    assert pulse.lost == (
        f"rank 0 (process {os.getpid()} on here) ended: EnvironmentFault: no space left on the disk"
    )


def test_those_who_wait_are_told_why_the_first_could_not_write() -> None:
    def run(post: Post) -> str:
        pulse = pulse_of(post)
        pulse.start()
        try:
            with (muster := Muster(post, pulse)).together():
                muster.part()
                if post.place.rank == 0:
                    raise OSError(28, "No space left on device")
        except (OSError, ProcessLost) as error:
            return f"{type(error).__name__}: {error}"
        return "left"

    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(run, posts()))
    assert ends[0].startswith("OSError: ")
    assert ends[1].startswith(f"ProcessLost: rank 0 (process {os.getpid()} on here) ended: OSError")
    assert "No space left on device" in ends[1]


def test_an_interruption_has_no_words_of_its_own() -> None:
    first, _ = posts()
    pulse_of(first).end(KeyboardInterrupt())
    assert first.get("end", 0) == {"error": "KeyboardInterrupt"}


def test_a_stopped_process_keeps_the_first_no_longer_than_half_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leaving, "LEAVES_S", 0.1)
    first, _ = posts()
    assert let_go(first, pulse_of(first)) == [1]
    blocked = threading.Event()
    monkeypatch.setattr(first, "put", lambda *_: blocked.wait())
    assert let_go(first, pulse_of(first)) == [1], "also where the store does not answer"
    blocked.set()


def test_a_pulse_has_ended_when_its_process_goes_on() -> None:
    pulse = pulse_of(posts()[0])
    reads = threading.Event()

    def look() -> None:  # a store that answers late
        reads.set()
        pulse._ended.wait(60)  # pyright: ignore[reportPrivateUsage]
        time.sleep(0.2)

    pulse.look = look
    pulse.start()
    assert reads.wait(60)
    pulse.end(None)
    assert not pulse._thread.is_alive()  # pyright: ignore[reportPrivateUsage]


PROGRAM = """
import atexit, os, sys, time
from pathlib import Path
import torch.distributed as dist
atexit.register(lambda: print("group at exit:", dist.is_initialized(), flush=True))
from accelerate import PartialState
from axolotl.cli._exit import exit_codes
from axolotl.training.ranks.muster import Muster

folder, rank, fails = Path(sys.argv[1]), int(os.environ["RANK"]), sys.argv[2] == "fails"
with exit_codes("train"):
    muster = Muster.call()
    with muster.together():
        muster.join(lambda: PartialState(cpu=True))
        muster.part()
        (folder / f"apart-{rank}").touch()
        while rank == 0 and not (folder / "go").exists():
            time.sleep(0.02)
        if rank == 0 and fails:
            raise OSError(28, "No space left on device", "model.safetensors")
        if rank == 0:
            (folder / "written").touch()
"""


@contextmanager
def two(folder: Path, how: str = "works") -> Iterator[tuple[list[subprocess.Popen[str]], Post]]:
    """Two processes that have parted: the first keeps the store, and writes until `go` is there.

    Yields:
        Both, and what reads their messages; they are killed at the end.
    """
    words = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(folder), how]
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    common |= {"OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(folder)}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [
        subprocess.Popen(
            words, **pipes, env=os.environ | common | {"RANK": rank, "LOCAL_RANK": rank}
        )
        for rank in ("0", "1")
    ]

    def parted() -> bool:
        assert all(one.poll() is None for one in both), [one.communicate() for one in both]
        return (folder / "apart-0").exists() and (folder / "apart-1").exists()

    try:
        until(parted)
        port = int(common["MASTER_PORT"])
        store = dist.TCPStore("127.0.0.1", port, is_master=False)  # pyright: ignore[reportPrivateImportUsage]
        run = dist.PrefixStore("axolotl/0/1", store)  # pyright: ignore[reportPrivateImportUsage]
        yield both, Post(Place(1, 2, "here", os.getpid()), run)
    finally:
        for one in both:
            one.kill()
            one.communicate()


def ends(both: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Exit code and output of each."""
    said = [one.communicate(timeout=240) for one in both]
    return [(one.returncode, *words) for one, words in zip(both, said, strict=True)]


@pytest.mark.slow
def test_the_second_of_two_processes_is_there_until_the_first_has_written(tmp_path: Path) -> None:
    with two(tmp_path) as (both, post):
        began = post.get_all("beat", [1])[1]["count"]
        until(lambda: post.get_all("beat", [1])[1]["count"] > began + 2)
        assert psutil.Process(both[1].pid).status() != psutil.STATUS_ZOMBIE
        assert not (tmp_path / "written").exists()
        (tmp_path / "go").touch()
        assert [end[:2] for end in ends(both)] == [(0, "group at exit: False\n")] * 2


@pytest.mark.slow
def test_a_first_process_that_fails_to_write_ends_the_other(tmp_path: Path) -> None:
    with two(tmp_path, "fails") as (both, _):
        (tmp_path / "go").touch()
        (code, group, said), (other, group_of_other, said_by_other) = ends(both)
        assert (code, other) == (2, 3), said + said_by_other
        assert "no space left on the disk" in said
        assert "error: rank 0 " in said_by_other
        assert group == group_of_other == "group at exit: True\n"


@pytest.mark.slow
def test_a_first_process_that_is_killed_while_it_writes_ends_the_other(tmp_path: Path) -> None:
    with two(tmp_path) as (both, _):
        both[0].send_signal(signal.SIGKILL)
        _, (code, _, said) = ends(both)
        assert code == 3, said
        assert f"rank 0 (process {both[0].pid} on" in said
        assert "is gone" in said


@pytest.mark.slow
def test_the_first_writes_to_the_end_where_the_other_is_killed(tmp_path: Path) -> None:
    with two(tmp_path) as (both, _):
        both[1].send_signal(signal.SIGKILL)
        both[1].wait(240)
        (tmp_path / "go").touch()
        assert ends(both)[0][:2] == (0, "group at exit: True\n"), "it would wait for who is gone"
        assert (tmp_path / "written").exists()


@pytest.mark.slow
def test_ctrl_c_while_the_first_writes_ends_both(tmp_path: Path) -> None:
    with two(tmp_path) as (both, _):
        for one in both:
            one.send_signal(signal.SIGINT)
        said = ends(both)
        assert said[0][0] == 130, said
        assert said[1][0] in (3, 130), said
        assert "Traceback" not in said[0][2] + said[1][2]
