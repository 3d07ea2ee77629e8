"""A hub that is not there is seen at once, and its library does not wait for it."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator

import pytest
from huggingface_hub import constants, get_session
from huggingface_hub.errors import OfflineModeIsEnabled

from axolotl.core import hub_reach
from axolotl.core.hub_reach import hub_asked_briefly, why_not_reached

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_reach, "getproxies", dict)
    monkeypatch.setattr(hub_reach, "_PAUSES_SECONDS", (0.0, 0.0))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", NOWHERE)


@pytest.fixture
def server() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_what_is_reached_and_what_is_not(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert why_not_reached(server) is None
    assert why_not_reached(NOWHERE) == "Connection refused"
    monkeypatch.setattr(hub_reach, "getproxies", lambda: {"http": "http://proxy:3128"})
    monkeypatch.setattr(hub_reach, "proxy_bypass", lambda _: False)
    assert why_not_reached(NOWHERE) is None
    assert why_not_reached("https://127.0.0.1:1") is not None


def test_a_server_that_comes_back_soon_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = iter([OSError(-3, "Temporary failure in name resolution"), socket.socket()])

    def connect(*_: object, **__: object) -> socket.socket:
        if isinstance(came := next(tries), OSError):
            raise came
        return came

    monkeypatch.setattr(socket, "create_connection", connect)
    assert why_not_reached("https://hub.example") is None


def test_the_library_does_not_ask_a_hub_that_is_not_there() -> None:
    before = get_session().event_hooks
    with hub_asked_briefly(), pytest.raises(OfflineModeIsEnabled, match="Connection refused"):
        get_session().get(NOWHERE)
    assert get_session().event_hooks == before


def test_offline_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(socket, "create_connection", None)
    with hub_asked_briefly():
        pass


def test_lines_about_further_tries_are_one_note(
    server: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", server)
    notes: list[str] = []
    monkeypatch.setattr(hub_reach, "note_once", notes.append)
    logger = logging.getLogger("huggingface_hub.utils._http")
    monkeypatch.setattr(logging.getLogger("huggingface_hub"), "propagate", True)
    with hub_asked_briefly():
        logger.warning("'x' thrown while requesting HEAD %s", server)
        logger.warning("something else")
    logger.warning("Retrying in 2s [Retry 1/5].")
    assert [record.getMessage() for record in caplog.records] == [
        "something else",
        "Retrying in 2s [Retry 1/5].",
    ]
    assert notes == ["the hub does not answer as it should; asking again for up to half a minute"]
