"""Addresses to listen on, and who reaches them."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

from axolotl.errors import EnvironmentFault


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine can reach an address.

    Raises:
        EnvironmentFault: there is no such address.

    >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0"), is_loopback("::1")
    (True, False, True)
    """
    return all(
        ipaddress.ip_address(address.partition("%")[0]).is_loopback
        for *_, (address, *_) in addresses_of(host, 0)
    )


def addresses_of(host: str, port: int) -> list[Any]:
    """What `socket.getaddrinfo` says of a name or an address; of none, all addresses of this machine.

    Raises:
        EnvironmentFault: there is no such address.
    """
    try:
        return socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise EnvironmentFault(
            f"there is no address '{host}': {error.strerror}", where="--host"
        ) from error
