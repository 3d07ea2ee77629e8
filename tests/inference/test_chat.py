"""The chat in the terminal: questions, commands, Ctrl-C, Ctrl-D."""

from __future__ import annotations

from collections.abc import Callable, Generator

import pytest

from axolotl.errors import DataError
from axolotl.inference import chat as chatting
from axolotl.inference.chat import chat


@pytest.fixture(autouse=True)
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(chatting, "note", lines.append)
    return lines


def typed(*lines: str | BaseException) -> Callable[[], str]:
    """One line after the other, then Ctrl-D."""
    coming = iter(lines)

    def ask() -> str:
        line = next(coming, EOFError())
        if isinstance(line, BaseException):
            raise line
        return line

    return ask


def echo(text: str) -> Generator[str]:
    yield "You said "
    yield text


def talk(
    *lines: str | BaseException, stream: Callable[[str], Generator[str]] = echo
) -> tuple[str, int]:
    written: list[str] = []
    whole: list[int] = []
    chat(stream, ask=typed(*lines), write=written.append, after=lambda: whole.append(1))
    return "".join(written), len(whole)


def test_every_question_is_answered_until_the_end() -> None:
    assert talk("one", "", "  two ") == ("You said one\nYou said two\n", 2)
    assert talk("one", "/exit", "two") == ("You said one\n", 1)


def test_ctrl_c_stops_the_answer_and_not_the_chat(said: list[str]) -> None:
    def slow(text: str) -> Generator[str]:
        yield "Well"
        if text == "stop me":
            raise KeyboardInterrupt

    closed: list[str] = []

    def watched(text: str) -> Generator[str]:
        try:
            yield from slow(text)
        finally:
            closed.append(text)

    assert talk("stop me", "go on", stream=watched) == ("Well …Well\n", 1)
    assert said == ["\nstopped"]
    assert closed == ["stop me", "go on"]


def test_ctrl_c_at_the_prompt_says_how_to_end(said: list[str]) -> None:
    assert talk(KeyboardInterrupt(), "one")[0] == "You said one\n"
    assert "Ctrl-D ends" in said[0]


def test_commands_are_not_questions(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    cleared: list[int] = []
    screen = type("Screen", (), {"clear": lambda self: cleared.append(1)})()
    monkeypatch.setattr(chatting, "console", lambda: screen)
    assert talk("/clear", "/help", "/exti")[0] == ""
    assert cleared == [1]
    assert [line.split()[0] for line in said[:3]] == ["/exit", "/clear", "/help"]
    assert said[3].startswith("there is no command /exti")
    assert talk("/etc/hosts is what?")[0] == "You said /etc/hosts is what?\n"


def test_a_question_that_cannot_be_asked_does_not_end_the_chat(said: list[str]) -> None:
    def picky(text: str) -> Generator[str]:
        if len(text) > 5:
            raise DataError("the prompt is too long")
        return echo(text)

    assert talk("far too long", "short", stream=picky)[0] == "You said short\n"
    assert said == ["the prompt is too long"]
