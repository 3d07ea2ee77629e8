"""The page for inference: what one session does, and the whole in a real browser."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import getproxies

import httpx
import pytest
import yaml
from transformers import AutoModelForCausalLM

from axolotl import api
from axolotl.errors import ConfigError, EnvironmentFault
from axolotl.formats import bind
from axolotl.inference.generate import Generator
from axolotl.inference.opening import open_generator
from axolotl.inference.options import GenerationOptions
from axolotl.inference.page import Answerer, Session, options_of
from axolotl.inference.web import serve_page
from tests.artifacts.made import random_adapter
from tests.browser import Page, scanlines
from tests.conftest import build_llama, build_tokenizer

GREEDY = GenerationOptions(temperature=0, max_new_tokens=12)
HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=2</script> **x**'


def generator(*, adapted: bool, kind: str = "sharegpt") -> Generator:
    from peft import LoraConfig, get_peft_model

    model: Any = build_llama(eos_token_id=500, initializer_range=0.3)
    if adapted:
        lora = LoraConfig(init_lora_weights=False, target_modules="all-linear")
        model = get_peft_model(model, lora)
    return Generator(model, build_tokenizer(), bound=bind(kind), options=GREEDY)


def said(session: Session, side: Any = "trained") -> list[str]:
    return [message["content"] for message in session.shown[side]]


def test_both_sides_answer_and_each_follows_what_it_said_itself() -> None:
    ours = generator(adapted=True)
    session = Session(Answerer(ours, None))
    assert list(session.ask("one", GREEDY, system="", both=True))[-1] == "cut after 12 tokens"
    list(session.ask("two", GREEDY, system="", both=True))
    for side in ("trained", "base"):
        talk: list[dict[str, str]] = []
        for question in ("one", "two"):
            talk.append({"role": "user", "content": question})
            answer = "".join(ours.stream(talk, base=side == "base"))
            talk.append({"role": "assistant", "content": answer})
        assert session.shown[side] == talk
    assert said(session) != said(session, "base")
    list(session.ask("three", GREEDY, system="Be brief.", both=False))
    first = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "three"}]
    assert said(session) == ["three", "".join(ours.stream(first))], "begun anew"
    assert said(session, "base") == []


def test_an_answer_that_fills_the_model_says_so() -> None:
    model = build_llama(eos_token_id=500, max_position_embeddings=64)
    ours = Generator(model, build_tokenizer(), bound=None, options=GREEDY)
    long = replace(GREEDY, max_new_tokens=1000)
    told = list(Session(Answerer(ours, None)).ask("x", long, system="", both=False))[-1]
    room = 64 - len(ours.prompt_ids("x"))
    assert told == f"cut after {room} tokens: prompt and answer fill the model's 64 positions"


def test_the_base_of_a_model_trained_in_full_is_loaded_when_it_is_asked() -> None:
    opened: list[int] = []

    def open_base() -> Generator:
        opened.append(1)
        return generator(adapted=False)

    answerer = Answerer(generator(adapted=False), open_base)
    assert answerer.compares
    assert not Answerer(generator(adapted=False), None).compares
    session = Session(answerer)
    list(session.ask("one", GREEDY, system="", both=False))
    assert opened == []
    for _ in range(2):
        list(session.ask("one", GREEDY, system="", both=True))
    assert opened == [1]


def test_an_answer_can_be_stopped_and_a_refusal_leaves_no_trace() -> None:
    session = Session(Answerer(generator(adapted=True), None))
    long = GenerationOptions(temperature=0, max_new_tokens=200)
    pieces = session.ask("one", long, system="", both=True)
    next(pieces)
    session.stop.set()
    assert list(pieces) == ["stopped"]
    assert not [thread for thread in threading.enumerate() if thread.name == "answer"]
    assert said(session, "base") == []
    before = said(session)
    told = list(session.ask("0 1 2 3 " * 300, GREEDY, system="", both=False))
    assert "positions" in told[-1]
    assert said(session) == before


def test_every_open_page_has_a_session_of_its_own() -> None:
    session = Session(Answerer(generator(adapted=True), None))
    other = deepcopy(session)
    list(session.ask("one", GREEDY, system="", both=False))
    assert said(other) == []


def test_controls_become_options() -> None:
    values = {"temperature": 0.5, "top_k": 3.0, "seed": None, "stop": "Q:\n\nA:"}
    found = options_of(values, GREEDY)
    assert found == GenerationOptions(
        temperature=0.5, top_k=3, max_new_tokens=12, stop=("Q:", "A:")
    )
    with pytest.raises(ConfigError, match="max_new_tokens must be at least 1"):
        options_of({"max_new_tokens": 0}, GREEDY)


LAUNCHED = """
import json, os, sys
from axolotl.inference.web import load_gradio, serve_page

gradio = load_gradio()

def address(host, password):
    with gradio.Blocks(analytics_enabled=False) as page:
        gradio.Textbox()
    return serve_page(page, host=host, port=None, password=password)

def proxies():
    return {name: said for name, said in os.environ.items() if name.lower().endswith("_proxy")}

before = proxies()
found = [address(host, word) for host, word in json.loads(sys.argv[1])]
assert proxies() == before
print(json.dumps(found), flush=True)
sys.stdin.read()
"""
PROXIES = {
    "http_proxy": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "ALL_PROXY": "socks5://127.0.0.1:9",
}


@contextmanager
def launched(*pages: tuple[str, str | None]) -> Iterator[list[str]]:
    """The addresses of empty pages, of which each has a host and a password; behind a proxy."""
    pytest.importorskip("gradio", reason="pip install 'axolotl[web]'")
    with subprocess.Popen(
        [sys.executable, "-c", LAUNCHED, json.dumps(pages)],
        env={**os.environ, **PROXIES, "NO_PROXY": "elsewhere"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            assert child.stdout is not None
            yield json.loads(child.stdout.readline())
        finally:
            child.kill()


def status(address: str, host: str | None = None, *, path: str = "") -> int:
    """What is said of a request, which may name another host than that of the address."""
    with httpx.Client(trust_env=False, headers={"Host": host} if host else {}) as client:
        return client.get(address + path).status_code


@pytest.mark.slow
def test_behind_a_proxy_pages_start_and_go_by_the_names_of_this_machine() -> None:
    with launched(("127.0.0.1", None), ("::1", None), ("127.0.0.1", "söcret")) as addresses:
        *alone, locked = addresses
        for address in alone:
            port = address.rstrip("/").rpartition(":")[2]
            for name in (None, f"localhost:{port}", "LOCALHOST", f"[::1]:{port}"):
                assert status(address, name) == 200
            for name in (
                f"evil.example:{port}",
                "localhost.evil.example",
                "127.0.0.1.evil.example",
            ):
                for path in ("", "config", "gradio_api/info"):
                    assert status(address, name, path=path) == 403
        assert status(locked, "my.proxy.example") == 200, "a password is enough"


class Starting:
    """A page whose start is noted.

    Args:
        fault: What the start ends with.
    """

    def __init__(self, fault: Exception | None = None) -> None:
        self.given: dict[str, Any] = {}
        self.proxies: dict[str, str] = {}
        self._fault = fault

    def queue(self, **_: Any) -> Starting:
        return self

    def launch(self, **given: Any) -> tuple[None, str, None]:
        self.given, self.proxies = given, getproxies()
        if self._fault:
            raise self._fault
        return None, "http://here/", None


def test_no_proxy_is_asked_whether_the_page_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("starlette", reason="pip install 'axolotl[web]'")
    for name, said in PROXIES.items():
        monkeypatch.setenv(name, said)
    before = dict(os.environ)
    page = Starting()
    assert serve_page(page, host="127.0.0.1", port=None) == "http://here/"
    assert page.proxies == {"no": "*"}
    assert dict(os.environ) == before


def test_a_page_that_cannot_be_started_is_a_fault_of_the_machine() -> None:
    pytest.importorskip("starlette", reason="pip install 'axolotl[web]'")
    page = Starting(httpx.ConnectError("refused"))
    with pytest.raises(EnvironmentFault, match="gradio cannot start the page: ConnectError: refus"):
        serve_page(page, host="127.0.0.1", port=None)


@pytest.mark.parametrize(
    ("host", "password", "foreign"),
    [("127.0.0.1", None, 403), ("::1", None, 403), ("::1", "x", 200), ("0.0.0.0", None, 200)],
)
def test_a_page_for_this_machine_alone_goes_by_its_names(
    host: str, password: str | None, foreign: int
) -> None:
    pytest.importorskip("starlette", reason="pip install 'axolotl[web]'")
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    page = Starting()
    serve_page(page, host=host, port=7999, password=password)
    assert page.given["server_name"] == ("[::1]" if host == "::1" else host)
    asked: list[Any] = []

    async def behind(request: Any) -> Any:
        asked.append(request)
        return PlainTextResponse("here")

    app = Starlette(routes=[Route("/", behind)], **page.given["app_kwargs"])
    transport = httpx.ASGITransport(app)

    async def status_of(name: str) -> int:
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{name}") as client:
            return (await client.get("/")).status_code

    for name in ("localhost:7999", "LOCALHOST", "[::1]:7999", "127.0.0.1:7999"):
        assert asyncio.run(status_of(name)) == 200
    asked.clear()
    for name in ("evil.example:7999", "localhost.evil.example", "127.0.0.1.evil.example"):
        assert asyncio.run(status_of(name)) == foreign
    assert bool(asked) == (foreign == 200)


@dataclass(frozen=True)
class Served:
    """A page that another process serves, and what is behind it."""

    address: str
    ours: Generator


def finished_run(folder: Path) -> dict[str, Any]:
    """A finished LoRA run, and its file `a.yml` in the folder; what the file says."""
    base = folder / "base"
    build_llama(eos_token_id=500, initializer_range=0.3).save_pretrained(base)
    build_tokenizer().save_pretrained(base)
    random_adapter(AutoModelForCausalLM.from_pretrained(base), folder / "<out>", scale=0.3)
    build_tokenizer().save_pretrained(folder / "<out>")
    settings = {
        "base_model": str(base),
        "adapter": "lora",
        "datasets": [{"path": "rows.jsonl", "type": "sharegpt"}],
        "output_dir": str(folder / "<out>"),
    }
    (folder / "a.yml").write_text(yaml.safe_dump(settings))
    return settings


@contextmanager
def serving(folder: Path, *, key: str = "") -> Iterator[str]:
    """The address of `axolotl inference a.yml --web`, in a process of its own."""
    command = [sys.executable, "-m", "axolotl.cli.inference", "a.yml", "--web"]
    with subprocess.Popen(
        [*command, "--temperature", "0", "--max_new_tokens", "12"],
        cwd=folder,
        env={**os.environ, "AXOLOTL_API_KEY": key},
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        # What a shell starts in the background has it ignored, and hands that on.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as child:
        assert child.stderr is not None
        told: list[str] = []
        while not (found := re.search(r"The page is at (http://127.0.0.1:\d+/)", "".join(told))):
            line = child.stderr.readline()
            assert line, "".join(told)
            told.append(line)
        try:
            yield found[1]
            child.send_signal(signal.SIGINT)
            assert child.wait(60) in (0, 130)
        finally:
            child.kill()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A page that everybody may open who reaches it."""
    pytest.importorskip("gradio", reason="pip install 'axolotl[web]'")
    folder = tmp_path_factory.mktemp("run")
    settings = finished_run(folder)
    ours = open_generator(api.resolved(settings), temperature=0, max_new_tokens=12)
    with serving(folder) as address:
        yield Served(address, ours)


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a page that asks for the password `söcret`."""
    pytest.importorskip("gradio", reason="pip install 'axolotl[web]'")
    folder = tmp_path_factory.mktemp("locked")
    finished_run(folder)
    with serving(folder, key="söcret") as address:
        yield address


@pytest.mark.slow
def test_a_page_with_a_password_gives_nothing_out_without_it(locked: str) -> None:
    with httpx.Client(base_url=locked, timeout=60) as client:
        asked = {"data": [], "fn_index": 0, "session_hash": "x"}
        for given in (None, ("axolotl", "wrong"), ("axolotl", " "), ("other", "söcret")):
            if given:
                form = {"username": given[0], "password": given[1]}
                assert client.post("login", data=form).is_client_error
            assert client.get("config").status_code == 401
            assert client.get("gradio_api/info").status_code == 401
            assert client.post("gradio_api/queue/join", json=asked).status_code == 401
            assert "in the format sharegpt" not in client.get("").text
        form = {"username": "axolotl", "password": "söcret"}
        assert client.post("login", data=form).is_success
        assert client.get("config").status_code == 200
        assert "in the format sharegpt" in client.get("").text


def wait_for(tab: Page, code: str, seconds: float = 60) -> Any:
    """The value of an expression once it is true."""
    end = time.monotonic() + seconds
    while not (found := tab.js(code)):
        assert time.monotonic() < end, code
        time.sleep(0.05)
    return found


def visit(tab: Page, address: str, *, width: int = 1400, dark: bool = False) -> None:
    tab.look(width=width, dark=dark)
    tab.forget()
    tab.send("Page.navigate", url="about:blank")
    tab.send("Page.navigate", url=address)
    wait_for(tab, "!!(document.querySelector('#text textarea') && document.querySelector('#send'))")
    tab.settle()


def messages(tab: Page, side: str) -> list[str]:
    return tab.js(f"[...document.querySelectorAll('#{side} .md')].map(e => e.textContent)")


def idle(tab: Page) -> None:
    wait_for(tab, "!document.querySelector('#send').disabled")
    tab.settle()


def ask(tab: Page, text: str) -> None:
    tab.mouse("#text textarea", click=True)
    tab.keys(text)
    tab.mouse("#send", click=True)


def no_other_machine(tab: Page, address: str) -> None:
    asked = [url for url in tab.requests if not url.startswith((address, "data:", "about:"))]
    assert asked == []
    assert tab.complaints == []


@pytest.mark.slow
def test_a_person_chats_and_compares(browser: Page, served: Served) -> None:
    visit(browser, served.address)
    assert "<out>" in browser.text("#title")
    assert "in the format sharegpt." in browser.text("#title")
    ours = served.ours
    ask(browser, HOSTILE)
    wait_for(browser, "document.querySelectorAll('#trained .md').length == 2")
    idle(browser)
    first = "".join(ours.stream([{"role": "user", "content": HOSTILE}]))
    assert messages(browser, "trained") == [HOSTILE, first]
    assert browser.js("document.title") == f"{ours.name} · axolotl", "markup stays text"
    assert browser.js("document.querySelectorAll('#trained img[src=x]').length") == 0
    assert "cut after 12 tokens" in browser.text("#said")
    browser.mouse("#both input", click=True)
    wait_for(browser, "document.querySelector('#base')?.offsetWidth > 0")
    ask(browser, "Is that so?")
    wait_for(browser, "document.querySelectorAll('#base .md').length == 2")
    idle(browser)
    question = [{"role": "user", "content": "Is that so?"}]
    talk = [
        {"role": "user", "content": HOSTILE},
        {"role": "assistant", "content": first},
        *question,
    ]
    assert messages(browser, "trained")[2:] == ["Is that so?", "".join(ours.stream(talk))]
    base = "".join(ours.stream(question, base=True))
    assert messages(browser, "base") == ["Is that so?", base]
    browser.mouse("#anew", click=True)
    wait_for(browser, "document.querySelectorAll('.md').length == 0")
    no_other_machine(browser, served.address)


def set_number(tab: Page, name: str, value: str) -> None:
    tab.js(
        f"(() => {{ const e = document.querySelector('#option-{name} input[type=number]');"
        f"e.value = '{value}'; e.dispatchEvent(new Event('input', {{bubbles: true}}));"
        "e.dispatchEvent(new Event('change', {bubbles: true})); e.blur(); })()"
    )
    tab.settle()


@pytest.mark.slow
def test_controls_reach_the_answer_and_stop_ends_it(browser: Page, served: Served) -> None:
    visit(browser, served.address)
    browser.mouse("#controls button", click=True)
    wait_for(browser, "document.querySelector('#option-seed')?.offsetWidth > 0")
    set_number(browser, "max_new_tokens", "3")
    ask(browser, "one")
    wait_for(browser, "document.querySelectorAll('#trained .md').length == 2")
    idle(browser)
    how = GenerationOptions(temperature=0, max_new_tokens=3)
    one = [{"role": "user", "content": "one"}]
    answer = "".join(served.ours.stream(one, options=how))
    assert messages(browser, "trained")[1] == answer
    set_number(browser, "max_new_tokens", "0")
    ask(browser, "two")
    wait_for(browser, "document.querySelector('#said').innerText.includes('at least 1')")
    assert browser.js("document.querySelector('#text textarea').value") == "two", "kept to be sent"
    set_number(browser, "max_new_tokens", "400")
    browser.mouse("#send", click=True)
    wait_for(browser, "document.querySelectorAll('#trained .md')[3]?.textContent.length > 8")
    browser.mouse("#stop", click=True)
    idle(browser)
    assert browser.text("#said").strip() == "stopped"
    assert 8 < len(messages(browser, "trained")[3]) < 1000
    no_other_machine(browser, served.address)


def opened(tab: Page) -> bool:
    """Whether the page has come that follows the signing in."""
    try:
        return tab.js("!!document.querySelector('#text textarea')")
    except AssertionError as error:
        if "navigated" not in str(error):
            raise
        return False  # asked while the browser was on its way there


@pytest.mark.slow
def test_a_person_signs_in(browser: Page, shots: Path, locked: str) -> None:
    browser.look(width=1400, dark=False)
    browser.forget()
    browser.send("Page.navigate", url="about:blank")
    browser.send("Page.navigate", url=locked)
    wait_for(browser, "!!document.querySelector('input[type=password]')")
    browser.settle()
    assert "The name is axolotl" in browser.text("body")
    (shots / "chat-login.png").write_bytes(browser.screenshot())
    browser.mouse("input:not([type=password]), textarea", click=True)
    browser.keys("axolotl")
    browser.mouse("input[type=password]", click=True)
    browser.keys("söcret")
    browser.js("setTimeout(() => document.querySelector('button').click())")
    end = time.monotonic() + 60
    while not opened(browser):
        assert time.monotonic() < end
        time.sleep(0.05)
    browser.settle()
    ask(browser, "one")
    wait_for(browser, "document.querySelectorAll('#trained .md').length == 2")
    # The browser has an advice for the library's form, which is no fault.
    browser.complaints = [said for said in browser.complaints if "Password field" not in said]
    no_other_machine(browser, locked)


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1400, 375])
def test_the_page_is_drawn(
    browser: Page, served: Served, shots: Path, width: int, dark: bool
) -> None:
    visit(browser, served.address, width=width, dark=dark)
    browser.mouse("#both input", click=True)
    wait_for(browser, "document.querySelector('#base')?.offsetWidth > 0")
    ask(browser, "Name three colours.\n  - warm ones")
    wait_for(browser, "document.querySelectorAll('#base .md').length == 2")
    idle(browser)
    assert messages(browser, "base")[0] == "Name three colours.\n  - warm ones", "as it was typed"
    browser.js("window.scrollTo(0, 0)")
    browser.settle()
    picture = browser.screenshot()
    (shots / f"chat-{width}-{'dark' if dark else 'light'}.png").write_bytes(picture)
    lines, corner = scanlines(picture)
    assert len(set(lines)) > 100, "it is not blank"
    assert (sum(corner) < 200) == dark
    assert browser.js("document.documentElement.scrollWidth") == width, "nothing sticks out"
    boxes = (
        "[...document.querySelectorAll('#trained, #base')].map(e => e.getBoundingClientRect().top)"
    )
    beside = len(set(browser.js(boxes))) == 1
    assert beside == (width > 700)
    browser.mouse("#controls button", click=True)
    wait_for(browser, "document.querySelector('#option-seed')?.offsetWidth > 0")
    browser.settle()
    browser.centre("#option-stop")
    picture = browser.screenshot()
    (shots / f"chat-controls-{width}-{'dark' if dark else 'light'}.png").write_bytes(picture)
    assert browser.js("document.documentElement.scrollWidth") == width
    no_other_machine(browser, served.address)
