"""Weights & Biases without a service: who may log, which mode is meant, how weights are spread."""

from __future__ import annotations

import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from axolotl.config.tracking import TrackingSection
from axolotl.errors import EnvironmentFault
from axolotl.training.trackers.wandb import histogram, opened

KEY = "0123456789" * 4


@pytest.fixture(autouse=True)
def _a_stranger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Nobody is logged in, and what the library has read of an earlier test is forgotten."""
    import wandb

    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    wandb.teardown()
    yield
    wandb.teardown()


@pytest.fixture
def service() -> Iterator[str]:
    """A service that knows no key."""

    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b'{"errors": [{"message": "user is not logged in"}]}'
            self.send_response(401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def check(**options: Any) -> None:
    tracker = opened(TrackingSection(wandb_project="p", **options))
    assert tracker is not None
    try:
        tracker.check()
    finally:
        tracker.finish("failed")


def test_online_without_a_key_is_refused_and_nobody_is_asked(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", service)
    before = dict(os.environ)
    with pytest.raises(EnvironmentFault, match="needs a key of the service") as caught:
        check()
    assert "`wandb login`" in str(caught.value)
    assert dict(os.environ) == before


def test_a_key_that_the_service_refuses(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", service)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with pytest.raises(EnvironmentFault, match="user is not logged in"):
        check(wandb_mode="online")


def test_a_key_that_is_none(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", service)
    monkeypatch.setenv("WANDB_API_KEY", "short")
    with pytest.raises(EnvironmentFault, match="API key must have"):
        check()


def test_a_service_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with pytest.raises(EnvironmentFault, match="not reached: Connection refused") as caught:
        check()
    assert "`wandb_mode: offline`" in str(caught.value)


def test_offline_needs_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:1")
    check(wandb_mode="offline")


@pytest.mark.parametrize(
    ("said", "variables", "mode"),
    [
        (None, {}, "online"),
        (None, {"WANDB_MODE": "offline"}, "offline"),
        (None, {"WANDB_MODE": "dryrun"}, "offline"),
        (None, {"WANDB_MODE": "disabled"}, None),
        (None, {"WANDB_DISABLED": "true"}, None),
        ("offline", {"WANDB_MODE": "online"}, "offline"),
        ("online", {"WANDB_MODE": "offline"}, "online"),
        ("disabled", {"WANDB_MODE": "online"}, None),
    ],
)
def test_the_file_says_the_mode_before_the_environment_does(
    said: Any, variables: dict[str, str], mode: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = opened(TrackingSection(wandb_project="p", wandb_mode=said))
    assert (found.mode if found else None) == mode


def test_without_a_project_nothing_is_logged() -> None:
    assert opened(TrackingSection(wandb_mode="online")) is None


@pytest.mark.parametrize(
    "values", [[0.0, 1.0, 2.0], [3.0], [1.0, float("nan"), float("inf")], [float("nan")], []]
)
def test_a_histogram_counts_every_finite_value(values: list[float]) -> None:
    tensor = torch.tensor(values)
    counts, borders = histogram(tensor)
    assert len(borders) == len(counts) + 1 == 65
    assert borders == sorted(borders)
    assert sum(counts) == int(torch.isfinite(tensor).sum())
