"""By which of its addresses a machine reaches another one."""

from __future__ import annotations

import socket


def address_towards(host: str, port: int) -> str | None:
    """The address of the network card by which this machine reaches a host.

    Args:
        host: Its name or address.
        port: A port of it; nothing is sent.

    Returns:
        The address; None where the host is not known, or no network leads there.
    """
    try:
        family, *_, place = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as asked:
            asked.connect(place)
            return str(asked.getsockname()[0])
    except OSError:
        return None
