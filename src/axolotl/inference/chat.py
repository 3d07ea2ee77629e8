"""A chat in the terminal: questions typed, answers as they come.

Every question stands alone, as the rows of the training data do.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing, suppress

from axolotl.core.console import console, note
from axolotl.errors import AxolotlError

COMMANDS = {
    "/exit": "end (or Ctrl-D)",
    "/clear": "clear the screen",
    "/help": "these lines",
}


def chat(
    stream: Callable[[str], Generator[str]],
    *,
    ask: Callable[[], str],
    write: Callable[[str], None],
    after: Callable[[], None] = lambda: None,
) -> None:
    """Ask and answer until the user has had enough.

    Ctrl-C stops an answer, and at the prompt nothing but the line; Ctrl-D ends the chat.

    Args:
        stream: Gives the answer to a question in pieces.
        ask: Reads a line; raises `EOFError` at the end.
        write: Puts a piece of an answer on the screen.
        after: Called when an answer is whole.
    """
    while True:
        try:
            text = ask().strip()
        except EOFError:
            return
        except KeyboardInterrupt:
            note("\n/exit or Ctrl-D ends the chat")
            continue
        if text == "/exit":
            return
        if text in COMMANDS:
            _obey(text)
        elif text.startswith("/") and " " not in text:
            note(f"there is no command {text}; there are: {', '.join(COMMANDS)}")
        elif text:
            _answer(stream, text, write, after)


def _answer(
    stream: Callable[[str], Generator[str]],
    text: str,
    write: Callable[[str], None],
    after: Callable[[], None],
) -> None:
    try:
        with closing(stream(text)) as pieces:
            for piece in pieces:
                write(piece)
    except KeyboardInterrupt:
        write(" …")
        note("\nstopped")
    except AxolotlError as error:
        note(str(error))
    else:
        write("\n")
        after()


def _obey(command: str) -> None:
    if command == "/clear":
        console().clear()
        return
    for name, meaning in COMMANDS.items():
        note(f"{name:8}{meaning}")


def terminal_line() -> str:
    """Read one line from the terminal, with its history and editing keys where there are any.

    Raises:
        EOFError: Ctrl-D.
    """
    with suppress(ImportError):  # Windows has none, and edits lines by itself
        import readline  # noqa: F401  its import alone gives `input` history and editing
    return console().input("[bold green]> [/]")
