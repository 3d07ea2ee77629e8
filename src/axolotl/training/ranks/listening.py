"""Where the first process listens for the connections of the others, and by what they reach it.

As few networks as possible: this machine alone where all processes are on it, else the one card by
which the machines meet.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
from collections.abc import Mapping

from axolotl.core.network import address_towards

_LOOPBACK = "127.0.0.1"
_BACKLOG = 1024


def listen(environment: Mapping[str, str] = os.environ) -> tuple[socket.socket, list[str]]:
    """Open a port for the others.

    Args:
        environment: What the launcher says.

    Returns:
        The port, and the addresses or names by which the others may reach it, the likeliest first.
    """
    master = environment.get("MASTER_ADDR", _LOOPBACK)
    if _all_here(environment) or _is_loopback(master):
        return socket.create_server((_LOOPBACK, 0), backlog=_BACKLOG), [_LOOPBACK]
    card = address_towards(master, int(environment.get("MASTER_PORT", "29500")))
    names = [socket.gethostname(), master]
    if card is None or _is_loopback(card):  # a machine may know its own name by that alone
        return _listen_everywhere(), list(dict.fromkeys(names))
    family = socket.AF_INET6 if ":" in card else socket.AF_INET
    with contextlib.suppress(OSError):  # the address of a card that is just being set up
        made = socket.create_server((card, 0), family=family, backlog=_BACKLOG)
        return made, list(dict.fromkeys([card, *names]))
    return _listen_everywhere(), list(dict.fromkeys([card, *names]))


def _all_here(environment: Mapping[str, str]) -> bool:
    """Whether the launcher says that all processes are on this machine."""
    world = environment.get("WORLD_SIZE")
    return bool(world) and environment.get("LOCAL_WORLD_SIZE") == world


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _listen_everywhere() -> socket.socket:
    if socket.has_dualstack_ipv6():
        family = socket.AF_INET6
        return socket.create_server(("", 0), family=family, dualstack_ipv6=True, backlog=_BACKLOG)
    return socket.create_server(("", 0), backlog=_BACKLOG)
