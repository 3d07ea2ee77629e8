"""The processes of a run: one prepares, all wait, all join, all answer; one writes, all leave together."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from axolotl.core.console import note
from axolotl.errors import EnvironmentFault
from axolotl.training.ranks import leaving
from axolotl.training.ranks.blame import lost_process, naming_lost
from axolotl.training.ranks.facts import compare, facts_of
from axolotl.training.ranks.lines import Lines
from axolotl.training.ranks.post import Place, Post
from axolotl.training.ranks.pulse import Pulse
from axolotl.training.ranks.steps import StepsSeen

JOIN_S = 300.0
"""How long joining and the first exchange may take. All are ready by then, so it takes seconds."""
HELLO_S = 600.0
"""How long a process that has never been heard of is waited for."""
_SAID_AFTER_S = 30.0
_POLL_S = 0.2
Result = TypeVar("Result")


class Muster:
    """Brings the processes of a run together.

    Args:
        post: The messages between them; None where there is one process.
        pulse: Their signs of life.
    """

    def __init__(self, post: Post | None, pulse: Pulse | None) -> None:
        self._post = post
        self.pulse = pulse

    @classmethod
    def call(cls) -> Muster:
        """Begin: tell the others that this one is there.

        Raises:
            EnvironmentFault: the place where they meet is not reached.
        """
        place = Place.here()
        if place is None:
            return cls(None, None)
        post = Post.open(place)
        pulse = Pulse(post.again(), lines=Lines(post.again()))
        pulse.start()
        return cls(post, pulse)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Leave together: when the first process is through, and no earlier; its result may take hours.

        Leaves a word on how this process ended, and says who has gone where that is why it ends.

        Raises:
            ProcessLost: another process has gone, and this one fails because of it.
        """
        post, pulse = self._post, self.pulse
        if post is None or pulse is None:
            yield
            return
        leaving.stay_in_group()
        try:
            with naming_lost(pulse):
                yield
                pulse.part()
                if post.place.rank == 0:
                    gone = leaving.let_go(post, pulse)
                else:
                    gone = self._wait(leaving.THROUGH, [0])[0]["gone"]
            if not gone:
                leaving.leave_group_at_exit()
        except BaseException as error:
            pulse.end(error)
            raise
        pulse.end(None)

    def part(self) -> None:
        """What all do together is done: the first writes and sends, and the others wait for it."""
        if self.pulse is not None:
            words = "write and send the result"
            first = self.pulse.place.rank == 0
            self.pulse.at(words if first else f"waiting for rank 0 to {words}")
            self.pulse.part()

    def first_alone(self, what: str, work: Callable[[], Result]) -> Result:
        """Let the first process do something, and the others after it; then wait for all.

        There is no process group to time out: a process is waited for as long as it is alive.

        Args:
            what: What it is, in the infinitive, such as `prepare the data`.
            work: Does it; whoever comes later finds it done.
        """
        post, pulse = self._post, self.pulse
        if post is None or pulse is None:
            return work()
        pulse.at(f"waiting for rank 0 to {what}")
        if post.place.rank != 0:
            self._wait(what, [0])
        pulse.at(what)
        result = work()
        post.put(what, {})
        self._wait(what, list(post.place.others))
        return result

    def agree(
        self, options: Mapping[str, Any], marks: Mapping[str, Any], resume: Path | None
    ) -> None:
        """Refuse to go on where another process has other options, data, versions or checkpoints.

        Args:
            options: Every option with its value.
            marks: By what the data is known.
            resume: The checkpoint that this process would go on from; each finds it by itself.

        Raises:
            EnvironmentFault: they differ.
        """
        if self._post is None:
            return
        facts = facts_of(options, marks, resume)
        self._post.put("facts", facts)
        self._wait("facts", list(self._post.place.others) if self._post.place.rank == 0 else [0])
        compare(self._post, facts)
        self._post.put("agreed", {})
        self._wait("agreed", list(self._post.place.others))

    def join(self, join: Callable[[], Any]) -> Any:
        """Join the process group, and exchange a number: whoever does not answer is named.

        Args:
            join: Joins, and gives accelerate's state.

        Raises:
            EnvironmentFault: some do not answer, or the exchange fails.
        """
        post, pulse = self._post, self.pulse
        if post is None or pulse is None:
            return join()
        pulse.at("joining the process group")
        done = threading.Event()
        watcher = threading.Thread(target=self._watch_join, args=(post.again(), done), daemon=True)
        watcher.start()
        try:
            state = join()
            _exchange(state.device or torch.device("cpu"), post.place)
            post.put("joined", {})
        except (RuntimeError, ValueError) as error:
            raise _no_answer(post, str(error).strip().splitlines()[0]) from error
        finally:
            done.set()
        pulse.at("loading the model")
        return state

    @property
    def machines(self) -> int:
        """How many machines, or containers, the processes are on; asked when all have joined."""
        if self._post is None:
            return 1
        everyone = self._post.get_all("hello", range(self._post.place.world_size))
        return len({words["host"] for words in everyone.values()})

    def follow(self, trainer: Any) -> None:
        """Have the others know which step this process is in.

        Args:
            trainer: The trainer, with its model.
        """
        if self.pulse is not None:
            trainer.add_callback(StepsSeen(self.pulse, trainer.model))

    def _watch_join(self, post: Post, done: threading.Event) -> None:
        """Say whom the exchange waits for; give up after a time, which the libraries might not."""
        if done.wait(_SAID_AFTER_S):
            return
        note(str(_no_answer(post, f"no answer for {_SAID_AFTER_S:.0f} s")))
        if done.wait(JOIN_S - _SAID_AFTER_S):
            return
        sys.stderr.write(f"{_no_answer(post, f'no answer for {JOIN_S:.0f} s')}\n")
        sys.stderr.flush()
        os._exit(2)

    def _wait(self, name: str, ranks: list[int]) -> dict[int, dict[str, Any]]:
        """Wait until some processes have left a message, as long as they live.

        Returns:
            The messages.

        Raises:
            ProcessLost: one has gone.
        """
        post, pulse = self._post, self.pulse
        assert post is not None
        assert pulse is not None
        found: dict[int, dict[str, Any]] = {}
        begun, pause = time.monotonic(), _POLL_S
        while True:
            found |= post.get_all(name, [rank for rank in ranks if rank not in found])
            if not (missing := set(ranks) - found.keys()):
                return found
            if pulse.lost is not None:
                raise lost_process(pulse.lost)
            waited = time.monotonic() - begun
            if waited > HELLO_S and (dumb := self._never_heard(missing)):
                raise _no_answer(post, f"not heard of for {waited:.0f} s", missing=dumb)
            time.sleep(pause)
            pause = min(1.0, pause * 1.2)

    def _never_heard(self, ranks: set[int]) -> set[int]:
        assert self._post is not None
        return ranks - self._post.get_all("hello", sorted(ranks)).keys()


def _exchange(device: torch.device, place: Place) -> None:
    """Sum a number over all processes.

    Raises:
        RuntimeError: the sum is wrong, or there is none.
    """
    number = torch.tensor([float(place.rank + 1)], device=device)
    dist.all_reduce(number)
    want = place.world_size * (place.world_size + 1) / 2
    if (got := float(number)) != want:
        raise RuntimeError(f"the numbers of all processes add up to {got:g} instead of {want:g}")


def _no_answer(post: Post, what: str, *, missing: set[int] | None = None) -> EnvironmentFault:
    """Who does not answer, and what to look at."""
    everyone = post.get_all("hello", range(post.place.world_size))
    there = post.get_all("joined", range(post.place.world_size))
    silent = missing if missing is not None else set(range(post.place.world_size)) - there.keys()

    def words(rank: int) -> str:
        found = everyone.get(rank)
        return f"rank {rank} on {found['host']}" if found else f"rank {rank}, never heard of"

    named = ", ".join(words(rank) for rank in sorted(silent)[:8])
    cards = ", ".join(name for _, name in socket.if_nameindex() if name != "lo")
    address = os.environ.get("MASTER_ADDR", "?"), os.environ.get("MASTER_PORT", "?")
    return EnvironmentFault(
        f"the processes do not reach each other: {what}; not through yet: {named or 'none'}",
        hint=f"they meet at {':'.join(address)}, which all machines must reach, and then talk on ports "
        "of their own: look for a firewall between the machines; where they have several network "
        "cards, name the one that the others reach: NCCL_SOCKET_IFNAME (GPUs) or GLOO_SOCKET_IFNAME "
        f"(CPUs), of {cards or 'none'} here; NCCL_DEBUG=INFO says what NCCL tries",
    )
