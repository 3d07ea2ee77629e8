"""A real Chromium without a window, told what to do over its DevTools protocol.

The protocol runs over two pipes, which the browser takes as file descriptors 3 and 4: messages are
JSON with a zero byte behind each. So nothing is needed but the browser itself.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = (
    "no Chromium on this machine: `make browser` installs it (Debian: apt-get install chromium)"
)
_HIGH = 10
"""Descriptors from here on do not collide with the two that the browser takes."""
_FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",  # root, as in a container, has none
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
    "--hide-scrollbars",
)


def find_chromium() -> str | None:
    """The program, if it is installed."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Page:
    """One tab.

    Args:
        read: Descriptor that the browser writes to.
        write: Descriptor that it reads from.

    Attributes:
        complaints: What the console, the page's errors and its security policy said.
        requests: What was asked for over any network or from the disk.
    """

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write = read, write
        self._number = 0
        self._rest = b""
        self._session: str | None = None
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._events: list[str] = []
        tab = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=tab, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """One command, and what comes back."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (found := self._next()).get("id") != self._number:
            self._take(found)
        assert "error" not in found, f"{method}: {found['error']}"
        return found["result"]

    def _next(self, seconds: float = 60) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], max(0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            got = os.read(self._read, 1 << 20)
            assert got, "the browser has ended"
            self._rest += got
        raw, _, self._rest = self._rest.partition(b"\0")
        return json.loads(raw)

    def _take(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        self._events.append(event.get("method", ""))
        match event.get("method"):
            case "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                self.complaints.append(details.get("exception", details).get("description", "?"))
            case "Runtime.consoleAPICalled":
                self.complaints.append(str([a.get("value") for a in params["args"]]))
            case "Log.entryAdded":
                self.complaints.append(params["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Page.javascriptDialogOpening":
                self.complaints.append(f"dialog: {params['message']}")

    def open(self, file: Path, *, width: int = 1400, height: int = 900, dark: bool = False) -> None:
        """Load a file and wait until it is drawn."""
        self.look(width=width, height=height, dark=dark)
        self._events.clear()
        self.send("Page.navigate", url=file.resolve().as_uri())
        while "Page.loadEventFired" not in self._events:
            self._take(self._next())
        self.settle()

    def look(self, *, width: int, height: int = 900, dark: bool = False) -> None:
        """Have a window of that size, and colours for the day or the night."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.send("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def forget(self) -> None:
        """Begin a new account of complaints and requests."""
        self.complaints.clear()
        self.requests.clear()

    def settle(self) -> None:
        """Wait for the search box's short delay and two frames."""
        frames = "new Promise(done => setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(done)), 150))"
        self.js(frames)

    def js(self, code: str) -> Any:
        """The value of an expression; a promise is waited for."""
        found = self.send(
            "Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def text(self, selector: str) -> str:
        """The text that a person sees of the first such element."""
        return self.js(f"document.querySelector({json.dumps(selector)}).innerText")

    def centre(self, selector: str) -> tuple[float, float]:
        """The middle of the first such element's first line, scrolled into view."""
        x, y = self.js(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center'}); const r = e.getClientRects()[0];"
            "return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        return x, y

    def mouse(self, selector: str, *, click: bool = False) -> None:
        """Move to an element as a hand would, and perhaps click."""
        x, y = self.centre(selector)
        self.settle()
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for kind in ("mousePressed", "mouseReleased") if click else ():
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        self.settle()

    def keys(self, *names: str) -> None:
        """Press keys; a text of several letters that is no key's name is typed."""
        for name in names:
            if len(name) == 1 or name.startswith(("Arrow", "Escape", "Home", "End", "Tab")):
                text = {"text": name} if len(name) == 1 else {}
                self.send("Input.dispatchKeyEvent", type="keyDown", key=name, code=name, **text)
                self.send("Input.dispatchKeyEvent", type="keyUp", key=name, code=name)
            else:
                self.send("Input.insertText", text=name)
        self.settle()

    def screenshot(self, *, whole: bool = False) -> bytes:
        """What is to be seen now, as PNG.

        Args:
            whole: Down to the end of the page, not to the end of the window.
        """
        found = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(found["data"])


def _pipe() -> tuple[int, int]:
    ends = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _HIGH) for end in ends]
    for end in ends:
        os.close(end)
    return high[0], high[1]


def scanlines(png: bytes) -> tuple[list[bytes], tuple[int, ...]]:
    """The lines of a picture, as they are coded, and its first pixel."""
    at, packed, width, channels = 8, b"", 0, 3
    while at < len(png):
        size, kind = int.from_bytes(png[at : at + 4], "big"), png[at + 4 : at + 8]
        body = png[at + 8 : at + 8 + size]
        if kind == b"IHDR":
            width, channels = int.from_bytes(body[:4], "big"), {2: 3, 6: 4}[body[9]]
        packed += body if kind == b"IDAT" else b""
        at += size + 12
    raw, step = zlib.decompress(packed), width * channels + 1
    return [raw[i : i + step] for i in range(0, len(raw), step)], tuple(raw[1:4])


@contextmanager
def chromium(program: str, profile: Path) -> Iterator[Page]:
    """Start the browser with a new profile, and end it.

    Args:
        program: Its path.
        profile: An empty folder.
    """
    (to_read, to_write), (from_read, from_write) = _pipe(), _pipe()
    quiet = os.open(os.devnull, os.O_RDWR)
    child = os.posix_spawn(
        program,
        [program, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
        {**os.environ, "HOME": str(profile)},
        file_actions=[
            (os.POSIX_SPAWN_DUP2, quiet, 1),
            (os.POSIX_SPAWN_DUP2, quiet, 2),
            (os.POSIX_SPAWN_DUP2, to_read, 3),
            (os.POSIX_SPAWN_DUP2, from_write, 4),
        ],
        setpgroup=0,
    )
    os.close(to_read)
    os.close(from_write)
    os.close(quiet)
    try:
        yield Page(from_read, to_write)
    finally:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(from_read)
        os.close(to_write)
