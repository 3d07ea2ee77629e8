"""A web page to ask the model: a chat, how answers are chosen, and the base model beside it.

The page loads nothing from any other machine, and tells none: gradio's questions after newer versions,
its counting of users and its history of runs are off. Gradio takes seconds to import, so that happens
when a page is built.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

from axolotl.core.optional import need
from axolotl.errors import AxolotlError, EnvironmentFault
from axolotl.inference.hosts import OnlyNamed, is_loopback, names_of
from axolotl.inference.options import SAMPLING_PENALTY, GenerationOptions
from axolotl.inference.page import SIDES, Answerer, Session, options_of

USER = "axolotl"
"""Who signs in to a page that asks for a password."""

_STYLE = Path(__file__).with_name("page.css")
_CONTROLS = ("temperature", "max_new_tokens", "top_p", "top_k", "min_p", "repetition_penalty")
_NAMES = (*_CONTROLS, "seed", "stop")
_CHAT_HEIGHT = "min(60vh, 560px)"


def load_gradio() -> Any:
    """The library of the page. With a SOCKS proxy around it, it would want one package more.

    Raises:
        EnvironmentFault: it is not installed.
    """
    with _without_proxy():
        return need("gradio", extra="web", why="--web")


def build_page(answerer: Answerer, *, title: str) -> Any:
    """The page, not served yet.

    Args:
        answerer: What it asks.
        title: What the model is called.

    Raises:
        EnvironmentFault: gradio is not installed.
    """
    gradio = load_gradio()
    with gradio.Blocks(title=f"{title} · axolotl", analytics_enabled=False) as page:
        session = gradio.State(Session(answerer))
        gradio.HTML(_heading(title, answerer), elem_id="title")
        with gradio.Row():
            chats = [_chat(gradio, side, shown=side == "trained") for side in SIDES]
        said = gradio.HTML("", elem_id="said")
        text = gradio.Textbox(
            placeholder="Ask something; Shift+Enter sends",
            lines=2,
            max_lines=10,
            show_label=False,
            container=False,
            elem_id="text",
        )
        with gradio.Row():
            send = gradio.Button("Send", variant="primary", elem_id="send")
            stop = gradio.Button("Stop", interactive=False, elem_id="stop")
            anew = gradio.Button("New chat", elem_id="anew")
        both = gradio.Checkbox(
            False,
            label="Show the base model's answer beside it",
            visible=answerer.compares,
            elem_id="both",
        )
        with gradio.Accordion("How answers are chosen", open=False, elem_id="controls"):
            system = gradio.Textbox(
                label="System text; another one begins a new chat",
                lines=2,
                visible=answerer.follows,
                elem_id="system",
            )
            controls = _controls(gradio, answerer.trained.options)
        parts = [text, *chats, said, send, stop]
        asked = [session, text, both, system, *controls]
        gradio.on(
            [send.click, text.submit],
            _ask(gradio, answerer),
            asked,
            parts,
            show_progress="hidden",
            concurrency_limit=1,
            concurrency_id="model",
            api_visibility="private",
        )
        stop.click(_stop, session, None, queue=False, api_visibility="private")
        gradio.on(
            [anew.click, *(chat.clear for chat in chats)],
            _begin_anew,
            [session, system],
            [*chats, said],
            queue=False,
            api_visibility="private",
        )
        both.change(lambda on: gradio.update(visible=on), both, chats[1], api_visibility="private")
    return page


def serve_page(page: Any, *, host: str, port: int | None, password: str | None = None) -> str:
    """Serve the page in a thread of its own; `page.block_thread()` waits for Ctrl-C.

    Args:
        page: What `build_page` gave.
        host: Address to listen on.
        port: Port to listen on; None for the first free one from 7860 on.
        password: What `USER` signs in with; None lets everybody in who reaches the page.

    Returns:
        The address of the page.

    Raises:
        EnvironmentFault: the port is taken, or the library cannot start the page.
    """
    try:
        with _without_proxy():
            return _launched(page, host=host, port=port, password=password)
    except OSError as error:
        raise EnvironmentFault(
            f"no page can be served on {host}:{port or '7860 and above'}: {error}",
            where="--port",
            hint="choose another port",
        ) from error
    except Exception as error:
        raise EnvironmentFault(
            f"gradio cannot start the page: {type(error).__name__}: {error}",
            where="--web",
            hint=f"look whether programs on this machine can reach {host}",
        ) from error


def _launched(page: Any, *, host: str, port: int | None, password: str | None) -> str:
    from starlette.middleware import Middleware

    alone = password is None and is_loopback(host)
    _, address, _ = page.queue(api_open=False).launch(
        server_name=f"[{host}]" if ":" in host else host,
        server_port=port,
        auth=(USER, password) if password else None,
        auth_message=f"The name is {USER}, the password the key of the server.",
        share=False,
        quiet=True,
        prevent_thread_lock=True,
        show_error=True,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        run_history=False,
        footer_links=[],
        css=_STYLE.read_text("utf-8"),
        app_kwargs={"middleware": [Middleware(OnlyNamed, names_of(host))] if alone else []},
    )
    return address


@contextmanager
def _without_proxy() -> Iterator[None]:
    """Have requests go straight to their address: gradio asks its own page whether it is there."""
    proxies = {name: said for name, said in os.environ.items() if name.lower().endswith("_proxy")}
    for name in proxies:
        del os.environ[name]
    os.environ["NO_PROXY"] = "*"  # nor by a proxy that the system knows
    try:
        yield
    finally:
        os.environ.pop("NO_PROXY", None)
        os.environ.update(proxies)


def _heading(title: str, answerer: Answerer) -> str:
    bound = answerer.trained.bound
    asked = f"in the format {bound.type}" if bound else "as plain text"
    each = "" if answerer.follows else ", each by itself"
    return f"<h1>{escape(title)}</h1><p>Questions are asked {escape(asked)}{each}.</p>"


def _chat(gradio: Any, side: str, *, shown: bool) -> Any:
    return gradio.Chatbot(
        label="What was trained" if side == "trained" else "Base model",
        visible=shown,
        height=_CHAT_HEIGHT,
        min_width=280,
        render_markdown=False,
        line_breaks=False,
        latex_delimiters=[],
        buttons=[],  # the library's would copy the text with its escapes
        feedback_options=None,
        elem_id=side,
    )


def _controls(gradio: Any, usual: GenerationOptions) -> list[Any]:
    """One for each of `_NAMES`."""
    penalty = usual.repetition_penalty or (1.0 if usual.greedy else SAMPLING_PENALTY)
    with gradio.Row():
        found = [
            gradio.Slider(
                0, 2, usual.temperature, step=0.05, label="Temperature; 0: always the likeliest"
            ),
            gradio.Number(usual.max_new_tokens, label="Longest answer, tokens", precision=0),
            gradio.Slider(0.01, 1, usual.top_p, step=0.01, label="Top-p; 1: all tokens"),
            gradio.Slider(0, 200, usual.top_k, step=1, label="Top-k; 0: all tokens"),
            gradio.Slider(0, 0.99, usual.min_p, step=0.01, label="Min-p; 0: all tokens"),
            gradio.Slider(0.5, 2, penalty, step=0.05, label="Repetition penalty; 1: none"),
            gradio.Number(usual.seed, label="Seed", precision=0),
            gradio.Textbox("\n".join(usual.stop), label="Stop texts, one a line", lines=1),
        ]
    for name, control in zip(_NAMES, found, strict=True):
        control.elem_id = f"option-{name}"
        control.min_width = 240
    return found


def _ask(gradio: Any, answerer: Answerer) -> Any:
    """What Send does: the question and the answers appear as they come."""

    def ask(session: Session, text: str, both: bool, system: str, *values: Any) -> Iterator[Any]:
        def shown(said: str, *, waiting: bool, left: str = "") -> Any:
            return (
                left,
                *(_as_text(session.shown[side]) for side in SIDES),
                escape(said),
                gradio.update(interactive=not waiting),
                gradio.update(interactive=waiting),
            )

        if not text.strip():
            yield shown("", waiting=False, left=text)
            return
        said = ""
        before = [len(session.shown[side]) for side in SIDES]
        try:
            options = options_of(dict(zip(_NAMES, values, strict=True)), answerer.trained.options)
            yield shown("", waiting=True)
            for said in session.ask(text.strip(), options, system=system, both=both):
                yield shown(said, waiting=True)
        except AxolotlError as error:
            said = error.what
        refused = [len(session.shown[side]) for side in SIDES] == before
        yield shown(said, waiting=False, left=text if refused else "")

    return ask


def _as_text(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """Messages of which the library shows every character.

    It takes them for HTML, and takes away the blanks that they begin with and that all lines have.
    """
    return [{**message, "content": _shown_whole(message["content"])} for message in messages]


def _shown_whole(text: str) -> str:
    blanks = len(text) - len(text.lstrip(" "))
    safe = escape(text[blanks:], quote=False).replace("\n", "&#10;").replace("\t", "&#9;")
    return "&#32;" * blanks + safe


def _begin_anew(session: Session, system: str) -> tuple[list[Any], list[Any], str]:
    session.stop.set()
    session.begin_anew(system)
    return [], [], ""


def _stop(session: Session) -> None:
    session.stop.set()
