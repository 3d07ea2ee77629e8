"""The address by which another machine is reached."""

from __future__ import annotations

import socket

import pytest

from axolotl.core.network import address_towards


def test_the_address_is_one_of_that_network() -> None:
    assert address_towards("127.0.0.1", 29500) == "127.0.0.1"


def test_a_host_that_is_not_known_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert address_towards("far", 29500) is None
