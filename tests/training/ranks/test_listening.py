"""Which networks the port of the first process is open to."""

from __future__ import annotations

import socket

import pytest

from axolotl.training.ranks import listening
from axolotl.training.ranks.listening import listen

NAME = socket.gethostname()


def of_machines(master: str) -> dict[str, str]:
    return {"MASTER_ADDR": master, "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}


@pytest.mark.parametrize(
    "environment",
    [
        {"MASTER_ADDR": NAME, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"},
        {"MASTER_ADDR": "10.255.255.254", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"},
        of_machines("localhost"),
        of_machines("127.0.1.1"),
        of_machines("::1"),
        {},
    ],
    ids=["own name", "own address", "localhost", "loopback", "IPv6", "no word of a launcher"],
)
def test_on_one_machine_no_other_machine_reaches_the_port(environment: dict[str, str]) -> None:
    made, addresses = listen(environment)
    with made:
        assert made.getsockname()[0] == "127.0.0.1"
        assert addresses == ["127.0.0.1"]


def own_card() -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect(("192.0.2.1", 9))  # nothing is sent, and nobody has that address
        except OSError:
            return None
        return str(asked.getsockname()[0])


def test_of_several_machines_only_their_network_reaches_it() -> None:
    card = own_card()
    if card is None or card.startswith("127."):
        pytest.skip("this machine has no network card")
    made, addresses = listen(of_machines(card))
    with made:
        assert made.getsockname()[0] == card
        assert addresses[0] == card
        port = made.getsockname()[1]
        socket.create_connection((card, port), timeout=60).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=60)


@pytest.mark.parametrize("card", [None, "127.0.0.1", "192.0.2.1"])
def test_where_that_network_is_not_known_all_names_are_tried(
    card: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No card, a machine that knows itself by its loopback only, and an address that cannot be had."""
    monkeypatch.setattr(listening, "address_towards", lambda *_: card)
    made, addresses = listen(of_machines("first.example"))
    with made:
        assert made.getsockname()[0] in ("::", "0.0.0.0")
        assert "first.example" in addresses
        assert "127.0.0.1" not in addresses
        socket.create_connection(("127.0.0.1", made.getsockname()[1]), timeout=60).close()
