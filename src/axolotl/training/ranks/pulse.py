"""A sign of life of each process, and a look at those of the others.

A thread of its own leaves a count and where the process stands every second, and reads those of
others. A process that is gone is found within seconds: on this machine by its number, on another by
the end of its connection. One that is alive and stands still, or is silent, while others wait for it
is named, and left alone: it may be writing a large checkpoint, or be looked at in a debugger.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axolotl.core.console import note
from axolotl.core.last_word import leave_word
from axolotl.errors import ProcessLost
from axolotl.training.ranks.lines import Lines
from axolotl.training.ranks.post import Letters

BEAT_S = 1.0
STILL_S = 60.0
"""After so long a process that the others wait for is named; again after twice as long, and so on."""
SILENT_S = 20.0
"""After so long without a sign of life a process is named."""
GONE_S = 120.0
"""After so long without one, a process of another machine counts as gone where no line to it is up."""
ENDS_S = 8.0
"""How long the run has to end in its own words after a process has gone."""
ENDS_WITHOUT_MACHINE_S = 3.0
"""The same after a machine was lost: nothing tells the run, and finding it out has taken a while."""
LAST_WORD_S = 2.0
"""How long a process that ends has to tell the others why."""
LOST = 3
"""Exit code of a process that ends because another has gone."""
_WATCHED = 16
"""The first process watches all others; where there are more, each watches so many."""


@dataclass
class _Seen:
    """What is known of another process.

    Args:
        words: Its machine and its number there.
        beat: Its last count, and where it stands.
        changed: When that count came, by this process's clock.
        named: How long it had stood still, or been silent, when it was last named.
    """

    words: dict[str, Any]
    beat: dict[str, Any]
    changed: float
    named: float = 0.0


class Pulse:
    """Beats, and watches others.

    Args:
        letters: The post, on a connection of its own.
        lines: The connections by which an end is known at once; without them, others of this machine
            are known by their numbers, and those elsewhere by their silence.
        say: Prints a line; by default as a note.
    """

    def __init__(self, letters: Letters, *, lines: Lines | None = None, say: Any = note) -> None:
        self.place = letters.place
        self.lost: str | None = None
        """What is known of a process that has gone; None while all are there that this one needs."""
        self.left: set[int] = set()
        """Those that have gone and were not needed any more."""
        self._letters = letters
        self._lines = lines
        self._say = say
        self._stands: tuple[int, str] = 0, "starting"
        self._since = time.monotonic()
        self._count = 0
        self._seen: dict[int, _Seen] = {}
        self._ended = threading.Event()
        self._losing, self._leaving = threading.Lock(), False
        self._apart = False
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._letters.put("hello", self.place.words())
        self.beat()
        self._thread.start()
        if self._lines is not None:
            self._lines.start(self._hung_up)

    def at(self, what: str, *, level: int | None = None) -> None:
        """Say where this process stands now.

        Args:
            what: In words.
            level: How far that is, by a number that means the same on every process; one further than
                before by default.
        """
        self._stands = self._stands[0] + 1 if level is None else level, what
        self._since = time.monotonic()

    def part(self) -> None:
        """What all do together is done: from now on the first needs nobody, and the others only it."""
        self._apart = True

    def needs(self, rank: int) -> bool:
        """Whether this process cannot go on without another one.

        Args:
            rank: The other; of the first process itself, whether it needs anybody.
        """
        return not self._apart or (rank == 0 and self.place.rank != 0)

    def end(self, error: BaseException | None) -> None:
        """This process leaves: done, or because of an error."""
        self._ended.set()
        if error is None:
            self._put_end({"done": True})
        else:
            words = [type(error).__name__, *str(error).strip().splitlines()[:1]]
            self._put_end({"error": ": ".join(words)[:500]})
        if self._lines is not None:
            self._lines.end()
        if self._thread.is_alive():
            # One that is in the store's own code while Python ends takes the process down.
            self._thread.join(LAST_WORD_S)

    def _put_end(self, message: Mapping[str, Any]) -> None:
        """Tell the others how this process ended; a store that has gone with its keeper may never answer."""

        def put() -> None:
            try:
                self._letters.put("end", message)
            except RuntimeError:
                # The store has gone with the process that kept it, and nobody reads it any more.
                self._say("the launcher's store has gone")

        last = threading.Thread(target=put, daemon=True)
        last.start()
        last.join(LAST_WORD_S)

    def wait_lost(self, timeout_s: float) -> str | None:
        """What has become of a process that seems to be gone, when that is found out."""
        until = time.monotonic() + timeout_s
        while self.lost is None and time.monotonic() < until:
            time.sleep(0.1)
        return self.lost

    def behind(self) -> list[str]:
        """The others that have not come as far as one of all, in words."""
        stands = {rank: seen.beat["stands"][0] for rank, seen in self._seen.items()}
        furthest = max([self._stands[0], *stands.values()])
        late = [rank for rank, at in sorted(stands.items()) if at < furthest]
        return [self._words(rank) for rank in late]

    def beat(self) -> None:
        """Leave a sign of life."""
        self._count += 1
        still = time.monotonic() - self._since
        message = {"count": self._count, "stands": self._stands, "still_s": round(still, 1)}
        self._letters.put("beat", message)

    def look(self) -> None:
        """Read those of the others; find who is gone, and name who is silent or stands still."""
        watched = self._watched()
        now = time.monotonic()
        hello = self._letters.get_all("hello", [r for r in watched if r not in self._seen])
        for rank, words in hello.items():
            self._seen[rank] = _Seen(words, {"count": 0, "stands": (0, "starting")}, now)
        for rank, beat in self._letters.get_all("beat", watched).items():
            seen = self._seen.get(rank)
            if seen is not None and beat["count"] != seen.beat["count"]:
                seen.beat, seen.changed = beat, now
        ends = self._letters.get_all("end", watched)
        for rank in watched:
            seen, end = self._seen.get(rank), ends.get(rank)
            if seen is not None and (end is None or "error" in end):
                self._judge(rank, seen, end, now)

    def _judge(self, rank: int, seen: _Seen, end: dict[str, Any] | None, now: float) -> None:
        silent = now - seen.changed
        here = seen.words["namespace"] == self.place.words()["namespace"]
        at = seen.beat["stands"][1]
        if end is not None:
            self._found(rank, f"ended: {end['error']}")
        elif here and not _exists(seen.words["pid"]):
            self._found(rank, f"is gone; last heard of at: {at}")
        elif not here and silent > GONE_S and not (self._lines and self._lines.watch(rank)):
            self._found(rank, f"has not answered for {silent:.0f} s; last heard of at: {at}")
        elif silent > max(SILENT_S, 2 * seen.named):
            seen.named = silent
            self._say(f"{self._words(rank)}; no sign of life for {silent:.0f} s")
        elif silent < SILENT_S:
            self._name_still(rank, seen)

    def _found(self, rank: int, what: str) -> None:
        if self.needs(rank):
            self.lost = self.lost or f"{self._name(rank)} {what}"
        else:
            self.left.add(rank)

    def _name_still(self, rank: int, seen: _Seen) -> None:
        """Name a process that others wait for: one that stands still and is not as far as this one."""
        still = float(seen.beat.get("still_s", 0.0))
        if seen.beat["stands"][0] >= self._stands[0]:
            seen.named = 0.0
        elif still > max(STILL_S, 2 * seen.named):
            seen.named = still
            self._say(f"{self._words(rank)} for {still:.0f} s; the others wait for it")

    def _watched(self) -> list[int]:
        own, world = self.place.rank, self.place.world_size
        if self._apart and own != 0:
            return [0]
        if own == 0 or world <= _WATCHED:
            return list(self.place.others)
        return [(own + step) % world for step in range(1, _WATCHED)]

    def _name(self, rank: int) -> str:
        words = self._seen[rank].words if rank in self._seen else self.place.words()
        return f"rank {rank} (process {words['pid']} on {words['host']})"

    def _words(self, rank: int) -> str:
        stands = self._seen[rank].beat["stands"] if rank in self._seen else self._stands
        return f"{self._name(rank)} stands at: {stands[1]}"

    def _hung_up(self, found: Mapping[str, Any]) -> None:
        """The connection of another has ended, or it tells whose has; on a thread of its own."""
        if "told" in found:
            if self.needs(0):
                self._lose(str(found["told"]), machine=found["machine"])
            return
        rank, words = found["rank"], found["words"]
        if not self.needs(rank):
            self.left.add(rank)
            return
        at = self._seen[rank].beat["stands"][1] if rank in self._seen else "starting"
        how = "does not answer: its machine is lost" if found["machine"] else "is gone"
        name = f"rank {rank} (process {words['pid']} on {words['host']})"
        self._lose(f"{name} {how}; last heard of at: {at}", machine=found["machine"])

    def _run(self) -> None:
        while not self._ended.wait(BEAT_S):
            try:
                self.beat()
                self.look()
            except RuntimeError as error:  # also what torch raises of a store that has gone
                if not self.needs(0):
                    return  # the first process, which has only to write
                # Whose process kept it is known better from the end of its line.
                self.lost = self.wait_lost(BEAT_S) or _store_gone(error)
            if self.lost is not None:
                self._lose(self.lost, machine=False)
                return

    def _lose(self, what: str, *, machine: bool) -> None:
        """Tell the others, and give the run time to end in its own words; then end it.

        It may wait for the process that has gone, and nothing else would end that.

        Args:
            what: Who has gone.
            machine: Whether that is a whole machine, of which the run may hear nothing.
        """
        with self._losing:
            if self._leaving:
                return
            self._leaving = True
            self.lost = self.lost or what
        if self._lines is not None:
            self._lines.tell(self.lost, machine=machine)
        leave_word(self.lost, machine=machine)
        if self._ended.wait(ENDS_WITHOUT_MACHINE_S if machine else ENDS_S) or not self.needs(0):
            return
        self._put_end({"error": f"{ProcessLost.__name__}: {self.lost}"[:500]})
        sys.stderr.write(f"{self.lost}; rank {self.place.rank} ends, too\n")
        sys.stderr.flush()
        os._exit(LOST)


def _store_gone(error: Exception) -> str:
    """Who kept the store."""
    first = (str(error).strip().splitlines() or [""])[0]
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        return f"the launcher on {os.environ.get('MASTER_ADDR')} is gone: {first}"
    return f"rank 0 on {os.environ.get('MASTER_ADDR')} is gone: {first}"


def _exists(pid: int) -> bool:
    """Whether a process of this machine is there, and not dead and waiting to be noticed."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True  # no such file system, as on macOS
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")
