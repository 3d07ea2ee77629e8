"""The file that lists machines, in the form that DeepSpeed reads.

    worker-1 slots=8
    worker-2 slots=8    # a comment

The first line is the machine where all meet.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from pathlib import Path

from axolotl.errors import ConfigError

_LINE = re.compile(r"(\S+)(?:\s+slots\s*=\s*(\d+))?")


@dataclass(frozen=True)
class HostLine:
    """One machine.

    Args:
        host: Its name or address.
        slots: Processes that it takes.
        number: Its number, from 0.
        where: `file:line`.
    """

    host: str
    slots: int
    number: int
    where: str


def read_hostfile(path: str) -> list[HostLine]:
    """The machines of a hostfile, in order.

    Raises:
        ConfigError: it cannot be read, or a line is not of its form.
    """
    try:
        text = Path(path).expanduser().read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            "hostfile", f"'{path}' cannot be read: {error}", where="--hostfile"
        ) from error
    found = list[HostLine]()
    for number, line in enumerate(text.splitlines(), 1):
        content, where = line.partition("#")[0].strip(), f"{path}:{number}"
        if not content:
            continue
        match = _LINE.fullmatch(content)
        slots = int(match[2] or 1) if match else 0
        if match is None or slots < 1:
            raise ConfigError(
                "hostfile", f"'{content}' is no machine", where=where, hint="write `HOST slots=8`"
            )
        if any(match[1] == other.host for other in found):
            raise ConfigError("hostfile", f"{match[1]} stands in it twice", where=where)
        found.append(HostLine(match[1], slots, len(found), where))
    if not found:
        raise ConfigError("hostfile", f"'{path}' names no machine", where="--hostfile")
    return found


def own_line(hosts: list[HostLine], node_rank: int | None, path: str | None) -> HostLine:
    """The line of this machine: that of its number, or else of its name or address.

    Args:
        hosts: The machines.
        node_rank: Number of this machine, if it is said.
        path: Name of the file, for the message.

    Raises:
        ConfigError: it is not among them.
    """
    if node_rank is not None:
        if 0 <= node_rank < len(hosts):
            return hosts[node_rank]
        raise ConfigError(
            "node_rank",
            f"--node_rank is {node_rank}, and {path} has the machines 0 to {len(hosts) - 1}",
            where="--node_rank",
        )
    if len(hosts) == 1:
        return hosts[0]
    own = _own_names()
    for line in hosts:
        if line.host in own or line.host.partition(".")[0] in own:
            return line
    raise ConfigError(
        "hostfile",
        f"this machine, {socket.gethostname()}, is not in {path}: there are "
        + ", ".join(line.host for line in hosts),
        where="--hostfile",
        hint="write its name into the file as `hostname` gives it, or say which one it is with "
        "--node_rank, from 0",
    )


def _own_names() -> set[str]:
    name = socket.gethostname()
    names = {name, name.partition(".")[0], socket.getfqdn()}
    try:
        names |= {str(found[4][0]) for found in socket.getaddrinfo(name, None)}
    except socket.gaierror:
        return names  # a name without an address is still a name
    return names
