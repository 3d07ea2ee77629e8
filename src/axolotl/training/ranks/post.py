"""Short messages between the processes of a run, through the store that the launcher keeps."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import torch.distributed as dist

from axolotl.errors import EnvironmentFault

CONNECT_S = 300
"""How long the store is waited for: machines may start minutes apart."""
_PREFIX = "axolotl"
_opened = count(1)
"""Numbers the runs of this process. The store outlives a run, and its messages are not the next one's;
all processes of a launcher train the same runs in the same order."""


@dataclass(frozen=True)
class Place:
    """Which process of a run this is.

    Args:
        rank: Its number.
        world_size: How many there are.
        host: Name of its machine, or container.
        pid: Its number there.
    """

    rank: int
    world_size: int
    host: str
    pid: int

    @classmethod
    def here(cls, environment: Mapping[str, str] = os.environ) -> Place | None:
        """This process, as the launcher says; None where there is but one."""
        if int(environment.get("WORLD_SIZE") or 1) < 2:
            return None
        rank = int(environment["RANK"])
        return cls(rank, int(environment["WORLD_SIZE"]), socket.gethostname(), os.getpid())

    @property
    def others(self) -> Sequence[int]:
        """The numbers of all others."""
        return [rank for rank in range(self.world_size) if rank != self.rank]

    def words(self) -> dict[str, Any]:
        """What others are told of it; process numbers mean something only in the same namespace."""
        namespace = Path("/proc/self/ns/pid")
        inside = str(namespace.readlink()) if namespace.is_symlink() else ""
        return {"host": self.host, "pid": self.pid, "namespace": f"{self.host} {inside}"}


class Letters(Protocol):
    """What a pulse needs of a post."""

    place: Place

    def put(self, name: str, message: Mapping[str, Any]) -> None:
        """Leave a message."""
        ...

    def get_all(self, name: str, ranks: Sequence[int]) -> dict[int, dict[str, Any]]:
        """Messages of some processes."""
        ...


class Post:
    """Puts and gets messages by name; each is a small JSON object.

    Args:
        place: This process.
        store: The launcher's store, or a part of it.
    """

    def __init__(self, place: Place, store: Any) -> None:
        self.place = place
        self._store = store

    @classmethod
    def open(cls, place: Place) -> Post:
        """Connect to the launcher's store.

        Raises:
            EnvironmentFault: it does not answer.
        """
        environment, run = os.environ, next(_opened)
        address = environment.get("MASTER_ADDR", "127.0.0.1")
        port = int(environment.get("MASTER_PORT", "29500"))
        # torchrun's own process keeps a store; with other launchers the first process does.
        kept = environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        try:
            store = dist.TCPStore(  # pyright: ignore[reportPrivateImportUsage]
                address,
                port,
                is_master=place.rank == 0 and not kept,
                timeout=timedelta(seconds=CONNECT_S),
                wait_for_workers=False,
                multi_tenant=not kept,  # the process group shares it
            )
        except (dist.DistError, RuntimeError) as error:
            raise EnvironmentFault(
                f"rank {place.rank} on {place.host} does not reach {address}:{port}, where the "
                f"processes meet: {str(error).splitlines()[0]}",
                where="MASTER_ADDR, MASTER_PORT",
                hint="it must be the name or address of the first machine as all others reach it (try "
                f"`nc -zv {address} {port}`); a firewall may be in between, or the port be taken",
            ) from error
        attempt = environment.get("TORCHELASTIC_RESTART_COUNT", "0")
        return cls(place, dist.PrefixStore(f"{_PREFIX}/{attempt}/{run}", store))  # pyright: ignore[reportPrivateImportUsage]

    def again(self) -> Post:
        """The same by another connection, for another thread."""
        return Post(self.place, self._store.clone())

    def put(self, name: str, message: Mapping[str, Any]) -> None:
        """Leave a message of this process; a former one of that name is replaced."""
        self._store.set(f"{name}/{self.place.rank}", json.dumps(message, default=str))

    def get(self, name: str, rank: int) -> dict[str, Any] | None:
        """The message of a process; None where there is none yet."""
        key = f"{name}/{rank}"
        return json.loads(self._store.get(key)) if self._store.check([key]) else None

    def get_all(self, name: str, ranks: Sequence[int]) -> dict[int, dict[str, Any]]:
        """The messages of some processes; those that have none yet are not in it."""
        if not ranks:
            return {}
        keys = [f"{name}/{rank}" for rank in ranks]
        if self._store.check(keys):
            found = self._store.multi_get(keys)
            return {rank: json.loads(text) for rank, text in zip(ranks, found, strict=True)}
        each = ((rank, self.get(name, rank)) for rank in ranks)
        return {rank: message for rank, message in each if message is not None}
