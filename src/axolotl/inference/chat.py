"""A chat in the terminal: questions typed, answers as they come.

Where the model was trained on conversations, a question follows those before it; where it was trained
on single questions, each stands alone, as the rows of the training data do.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from axolotl.core.console import console, note
from axolotl.errors import AxolotlError, ConfigError

if TYPE_CHECKING:
    from axolotl.inference.options import GenerationOptions
    from axolotl.inference.prompt import Prompt

_QUOTES = '"""'
COMMANDS = {
    "/reset": "forget what was said; the next question is the first",
    "/system": "TEXT: begin anew with this system text; without TEXT: without one",
    "/set": "NAME VALUE: another generation option, such as `/set temperature 0`; alone: list them",
    _QUOTES: f"TEXT{_QUOTES}: a question of several lines",
    "/clear": "clear the screen",
    "/help": "these lines",
    "/exit": "end (or Ctrl-D)",
}


class Conversation:
    """What was said, and the next answer to it.

    Args:
        stream: Gives the answer to a question, or to messages, in pieces.
        follows: Whether a question follows those before it.

    Attributes:
        messages: What was said, with `role` and `content`.
    """

    def __init__(self, stream: Callable[[Prompt], Generator[str]], *, follows: bool) -> None:
        self.follows = follows
        self.messages: list[dict[str, str]] = []
        self._stream = stream

    def reset(self, system: str = "") -> None:
        """Forget what was said.

        Args:
            system: The system text to begin with.
        """
        self.messages = [{"role": "system", "content": system}] if system else []

    def ask(self, text: str) -> Generator[str]:
        """The answer to a question, in pieces; it is remembered as far as it came.

        Raises:
            DataError: the question cannot be asked, and is not remembered.
        """
        if not self.follows:
            return self._stream(text)
        asked = [*self.messages, {"role": "user", "content": text}]
        return self._remembered(self._stream(asked), asked)

    def _remembered(self, pieces: Generator[str], asked: list[dict[str, str]]) -> Generator[str]:
        said: list[str] = []
        try:
            with closing(pieces):
                for piece in pieces:
                    said.append(piece)
                    yield piece
        finally:
            if said:
                self.messages = [*asked, {"role": "assistant", "content": "".join(said)}]


def chat(
    conversation: Conversation,
    *,
    ask: Callable[[], str],
    write: Callable[[str], None],
    more: Callable[[], str] | None = None,
    after: Callable[[], None] = lambda: None,
    change: Callable[[str, str], str] | None = None,
) -> None:
    """Ask and answer until the user has had enough.

    Ctrl-C stops an answer, and at the prompt nothing but the line; Ctrl-D ends the chat.

    Args:
        conversation: What was said.
        ask: Reads a line; raises `EOFError` at the end.
        write: Puts a piece of an answer on the screen.
        more: Reads a further line of a question; None for `ask`.
        after: Called when an answer is whole.
        change: Gives a generation option another value, and says what the options are then; both
            are empty to ask only. None where nothing can be changed.
    """
    while True:
        try:
            text, quoted = _typed(ask, more or ask)
        except EOFError:
            return
        except KeyboardInterrupt:
            note("\n/exit or Ctrl-D ends the chat")
            continue
        command, space, rest = ("", "", "") if quoted else text.partition(" ")
        if command == "/exit" and not space:
            return
        if command in COMMANDS and (not rest or command in ("/system", "/set")):
            _obey(command, rest.strip(), conversation, change)
        elif command.startswith("/") and not space:
            note(f"there is no command {text}; there are: {', '.join(COMMANDS)}")
        elif text.strip():
            _answer(conversation, text, write, after)


def _typed(ask: Callable[[], str], more: Callable[[], str]) -> tuple[str, bool]:
    """What is typed, and whether it stands in quotes: then it may have lines, and is no command."""
    line = ask().strip()
    if not line.startswith(_QUOTES):
        return line, False
    lines = [line.removeprefix(_QUOTES)]
    while not lines[-1].rstrip().endswith(_QUOTES):
        lines.append(more())
    lines[-1] = lines[-1].rstrip().removesuffix(_QUOTES)
    return "\n".join(lines).lstrip("\n").rstrip(), True


def _answer(
    conversation: Conversation,
    text: str,
    write: Callable[[str], None],
    after: Callable[[], None],
) -> None:
    try:
        with closing(conversation.ask(text)) as pieces:
            for piece in pieces:
                write(piece)
    except KeyboardInterrupt:
        write(" …")
        note("\nstopped")
    except AxolotlError as error:
        longer = len(conversation.messages) > 1
        note(f"{error}" + ("\n  /reset forgets what was said before" if longer else ""))
    else:
        write("\n")
        after()


def _obey(
    command: str,
    rest: str,
    conversation: Conversation,
    change: Callable[[str, str], str] | None,
) -> None:
    if command == "/clear":
        console().clear()
    elif command == "/help":
        for name, meaning in COMMANDS.items():
            note(f"{name:9}{meaning}")
    elif command == "/set":
        _set(rest, change)
    elif not conversation.follows:
        note("each question stands alone: the model was trained on single questions")
    else:
        conversation.reset(rest)
        note("begun anew" + (" with this system text" if rest else ""))


def _set(rest: str, change: Callable[[str, str], str] | None) -> None:
    if change is None:
        note("nothing can be changed here")
        return
    name, _, value = rest.partition(" ")
    try:
        note(change(name.lstrip("-"), value.strip()))
    except ConfigError as error:
        note(error.what + (f"\n  {error.hint}" if error.hint else ""))


def changed(options: GenerationOptions, name: str, text: str) -> GenerationOptions:
    """The options with another value of one, as it was typed.

    Raises:
        ConfigError: no such option, or a value that it cannot have.
    """
    kinds: dict[str, Callable[[str], Any]] = {
        "max_new_tokens": int,
        "top_k": int,
        "seed": int,
        "stop": lambda given: (given,) if given else (),
    }
    options.of(**{name: None})
    try:
        value = kinds.get(name, float)(text)
    except ValueError:
        raise ConfigError(name, f"{name} is a number, and not '{text}'") from None
    return replace(options, **{name: value})


def terminal_line(sign: str = "> ") -> str:
    """Read one line from the terminal, with its history and editing keys where there are any.

    Args:
        sign: What stands before it.

    Raises:
        EOFError: Ctrl-D.
    """
    with suppress(ImportError):  # Windows has none, and edits lines by itself
        import readline  # noqa: F401  its import alone gives `input` history and editing
    return console().input(f"[bold green]{sign}[/]")
