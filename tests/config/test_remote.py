"""Configurations behind an address, from a server of this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from axolotl.config import load_config, remote
from axolotl.errors import ConfigErrors

SMALL = "base_model: m\ndatasets:\n  - path: d.jsonl\n    type: alpaca\n"
Pages = dict[str, tuple[int, str, bytes]]


@pytest.fixture
def pages() -> Pages:
    """Path → status, type and content."""
    return {}


@pytest.fixture
def server(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, content = pages.get(self.path, (404, "text/plain", b"no"))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            if status == 302:
                self.send_header("Location", content.decode())
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def problem(source: str) -> str:
    with pytest.raises(ConfigErrors) as caught:
        load_config(source)
    (only,) = caught.value.problems
    return str(only)


def test_an_address_is_a_file(server: str, pages: Pages) -> None:
    pages["/a/f.yml?token=secret"] = (200, "text/plain", SMALL.encode())
    config = load_config(f"{server}/a/f.yml?token=secret")
    assert config.origin("base_model") == f"{server}/a/f.yml:1"


def test_a_base_is_seen_from_the_address(server: str, pages: Pages) -> None:
    pages["/a/f.yml"] = (200, "text/plain", b"base: ../base.yml\nseed: 3\n")
    pages["/base.yml"] = (302, "text/plain", b"/moved.yml")
    pages["/moved.yml"] = (200, "application/yaml", SMALL.encode())
    config = load_config(f"{server}/a/f.yml")
    assert config.origin("seed") == f"{server}/a/f.yml:2"
    assert config.origin("base_model") == f"{server}/base.yml:1"


def test_a_file_may_be_based_on_an_address(
    server: str, pages: Pages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVER", server)
    pages["/base.yml"] = (200, "text/plain", SMALL.encode())
    file = tmp_path / "f.yml"
    file.write_text("base: ${SERVER}/base.yml\n")
    assert load_config(file).origin("base_model") == f"{server}/base.yml:1"
    file.write_text("seed: 1\nbase: ${SERVER}/bse.yml\n")
    assert problem(str(file)).startswith(f"{file}:2: base: no such file (404): '{server}/bse.yml'")


@pytest.mark.parametrize(
    ("status", "kind", "content", "message"),
    [
        (404, "text/plain", b"", "f.yml: no such file (404)\n  hint: is the address complete"),
        (403, "text/plain", b"", "f.yml: access is refused (403)\n  hint: it is not public"),
        (500, "text/plain", b"", "f.yml: the server answers 500 Internal Server Error"),
        (200, "text/html; charset=utf-8", b"a: b", "f.yml: this address has a web page, not a"),
        (200, "text/plain", b"\n<!DOCTYPE html>\n", "f.yml: this address has a web page, not a"),
        (200, "text/plain", b"#" * (2**22 + 1), "f.yml: more than 4.0 MB is too large"),
        (200, "text/plain", b"a: \xe9", "f.yml:1: byte 0xe9 is not UTF-8 text"),
        (200, "text/plain", b"a: [", "f.yml:1: not valid YAML"),
        (200, "text/plain", b"base: file:///etc/passwd", "f.yml:1: base: 'file:///etc/passwd' is"),
        (200, "text/plain", b"base: https://x/${HOME}", "f.yml:1: base: variables are not put"),
    ],
)
def test_what_an_address_may_answer(
    server: str, pages: Pages, status: int, kind: str, content: bytes, message: str
) -> None:
    pages["/f.yml"] = (status, kind, content)
    assert problem(f"{server}/f.yml").startswith(f"{server}/{message}")


def test_without_an_answer_there_is_an_error(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import urllib.request

    said = problem("http://127.0.0.1:1/f.yml")
    assert said.startswith("http://127.0.0.1:1/f.yml: cannot be fetched: [Errno ")
    assert "check the address and the network" in said
    for bad in ("http://", "http://a b/", "http://[x", "http://127.0.0.1:port/x"):
        assert "cannot be fetched" in problem(bad)

    def wait(*arguments: Any, timeout: float) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr(urllib.request, "urlopen", wait)
    assert "cannot be fetched: timed out" in problem(f"{server}/f.yml")


def test_a_page_of_github_is_read_as_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def fetch(url: str, *, most_bytes: int) -> bytes:
        asked.append(url)
        return SMALL.encode()

    monkeypatch.setattr("axolotl.config.find.fetch", fetch)
    page = "https://github.com/me/runs/blob/main/a/b.yml"
    assert load_config(page).origin("base_model") == f"{page}:1"
    assert asked == ["https://raw.githubusercontent.com/me/runs/main/a/b.yml"]
    assert remote.raw_url("https://github.com/me/runs") == "https://github.com/me/runs"
    assert remote.raw_url("https://x.org/me/runs/blob/b.yml") == "https://x.org/me/runs/blob/b.yml"
