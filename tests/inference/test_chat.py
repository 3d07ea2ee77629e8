"""The chat in the terminal: questions, commands, Ctrl-C, Ctrl-D."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest

from axolotl.errors import ConfigError, DataError
from axolotl.inference import chat as chatting
from axolotl.inference.chat import Conversation, changed, chat
from axolotl.inference.options import GenerationOptions
from axolotl.inference.prompt import Prompt


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


def echo(text: Prompt) -> Generator[str]:
    yield "You said "
    yield str(text)


def talk(
    *lines: str | BaseException, stream: Callable[[Any], Generator[str]] = echo, **more: Any
) -> tuple[str, int]:
    written: list[str] = []
    whole: list[int] = []
    single = Conversation(stream, follows=False)
    chat(
        more.pop("conversation", single),
        ask=typed(*lines),
        write=written.append,
        after=lambda: whole.append(1),
        **more,
    )
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
    assert len(said) == len(chatting.COMMANDS) + 1
    assert all(line.startswith(name) for line, name in zip(said, chatting.COMMANDS, strict=False))
    assert said[-1].startswith("there is no command /exti")
    assert talk("/etc/hosts is what?")[0] == "You said /etc/hosts is what?\n"


def test_a_question_that_cannot_be_asked_does_not_end_the_chat(said: list[str]) -> None:
    def picky(text: str) -> Generator[str]:
        if len(text) > 5:
            raise DataError("the prompt is too long")
        return echo(text)

    assert talk("far too long", "short", stream=picky)[0] == "You said short\n"
    assert said == ["the prompt is too long"]


@pytest.mark.parametrize(
    ("lines", "question"),
    [
        (['"""one', "  two", "", '/exit"""'], "one\n  two\n\n/exit"),
        (['"""', "/reset", ' """  '], "/reset"),
        (['  """say "this"."""'], 'say "this".'),
        (['"""/exit"""'], "/exit"),
        (['"""', '"""', "three"], "three"),
        (['"""half', KeyboardInterrupt(), "three"], "three"),
    ],
)
def test_a_question_in_quotes_has_several_lines(
    lines: list[str | BaseException], question: str
) -> None:
    assert talk(*lines) == (f"You said {question}\n", 1)


def test_further_lines_are_asked_for_in_another_way() -> None:
    more = typed("two", 'three"""')
    assert talk('"""one', "four", more=more)[0] == "You said one\ntwo\nthree\nYou said four\n"


class Listener:
    """Answers with a number, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def __call__(self, prompt: Any) -> Generator[str]:
        self.asked.append(prompt)
        yield "answer "
        if prompt[-1]["content"] == "stop me":
            raise KeyboardInterrupt
        yield str(len(self.asked))


def said_in(prompt: Any) -> list[str]:
    return [f"{message['role'][0]}:{message['content']}" for message in prompt]


def test_a_question_follows_what_was_said_before(said: list[str]) -> None:
    model = Listener()
    lines = ("one", "two", "stop me", "three", "/reset", "four", "/system Be brief.", "five")
    talk(*lines, "/system", "six", conversation=Conversation(model, follows=True))
    one = ["u:one", "a:answer 1", "u:two"]
    stopped = [*one, "a:answer 2", "u:stop me"]
    assert [said_in(prompt) for prompt in model.asked] == [
        ["u:one"],
        one,
        stopped,
        [*stopped, "a:answer ", "u:three"],
        ["u:four"],
        ["s:Be brief.", "u:five"],
        ["u:six"],
    ]
    assert said == ["\nstopped", "begun anew", "begun anew with this system text", "begun anew"]


def test_a_question_that_was_not_answered_is_forgotten(said: list[str]) -> None:
    def short(prompt: Any) -> Generator[str]:
        if len(prompt) > 2:
            raise DataError("the prompt has 99 tokens")
        return echo("yes")

    conversation = Conversation(short, follows=True)
    talk("one", "two", conversation=conversation)
    assert said_in(conversation.messages) == ["u:one", "a:You said yes"]
    assert said == ["the prompt has 99 tokens\n  /reset forgets what was said before"]


def test_single_questions_have_nothing_to_forget(said: list[str]) -> None:
    assert talk("/reset", "/system x") == ("", 0)
    assert len(said) == 2
    assert "stands alone" in said[0]


def test_options_are_set_while_it_chats(said: list[str]) -> None:
    how = GenerationOptions()

    def change(name: str, value: str) -> str:
        nonlocal how
        how = changed(how, name, value) if name else how
        return f"temperature {how.temperature}"

    lines = ("/set temperature 0", "/set", "/set --top_k 3", "/set stop Q:", "/set temprature 1")
    talk(*lines, "/set top_k many", "/set top_p 7", change=change)
    assert (how.temperature, how.top_k, how.stop, how.top_p) == (0.0, 3, ("Q:",), 0.95)
    assert said[:2] == ["temperature 0.0"] * 2
    assert "did you mean temperature" in said[4]
    assert said[5] == "top_k is a number, and not 'many'"
    assert "top_p must be above 0 and at most 1" in said[6]
    with pytest.raises(ConfigError):
        changed(how, "max_new_tokens", "0")
