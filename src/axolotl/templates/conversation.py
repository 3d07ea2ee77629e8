"""A conversation template: who is called what, and what stands between the turns.

A template is plain data. Its style says how the data becomes text: a system part, then one part for
each turn, made of a prefix with the speaker's name, the message, and what ends it. The end goes by
the place of the turn, not by who speaks: in a conversation that the model begins, the separators of
the two sides are swapped. A turn without a message is the bare name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

Speaker = Literal["user", "model"]
Style = Literal[
    "ADD_COLON_SINGLE",
    "ADD_COLON_TWO",
    "ADD_COLON_SPACE_SINGLE",
    "ADD_NEW_LINE_SINGLE",
    "NO_COLON_SINGLE",
    "NO_COLON_TWO",
    "RWKV",
    "LLAMA2",
    "CHATGLM",
    "CHATML",
    "CHATINTERN",
    "DOLLY",
    "PHOENIX",
    "ROBIN",
    "FALCON_CHAT",
]


class Turn(NamedTuple):
    """What one side says.

    Args:
        speaker: Who speaks.
        text: What is said; may be empty.
    """

    speaker: Speaker
    text: str


class Part(NamedTuple):
    """A piece of the text, to be tokenized by itself.

    Args:
        speaker: Whose turn it is; None for what belongs to neither side.
        prefix: The speaker's name and what follows it.
        message: What is said.
        end: What stands behind it.
    """

    speaker: Speaker | None
    prefix: str
    message: str
    end: str = ""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A template.

    Args:
        style: How the rest becomes text.
        roles: What the user and the model are called.
        sep: Ends a turn; with some styles only those at even places, counted from 0.
        sep2: Ends those at odd places, with such a style.
        system_template: What the system text is put into, in the place of `{system_message}`.
        system_message: The system text of conversations that bring none.
        old_sep: Separator of the release of October 2023 where it had another one.
        first_round: Number of the first round, with a style that counts them.
    """

    style: Style
    roles: tuple[str, str]
    sep: str
    sep2: str = ""
    system_template: str = "{system_message}"
    system_message: str = ""
    old_sep: str | None = None
    first_round: int = 0


def render(
    template: Conversation,
    turns: Sequence[Turn],
    *,
    system: str | None = None,
    roles: tuple[str, str] | None = None,
) -> list[Part]:
    """The parts of a conversation, the empty ones left out.

    Args:
        template: How it is written.
        turns: What is said, in order.
        system: The system text; None for that of the template.
        roles: What the user and the model are called here; None for the names of the template.

    >>> colon = Conversation("ADD_COLON_TWO", ("USER", "ASSISTANT"), " ", "</s>")
    >>> render(colon, [Turn("user", "Hi."), Turn("model", "Hello.")], system="Be brief.")[2]
    Part(speaker='model', prefix='ASSISTANT: ', message='Hello.', end='</s>')
    """
    form = _STYLES[template.style]
    user, model = roles or template.roles
    parts = [Part(None, "", _system_text(template, form, system))]
    ends = _ends(template)
    for place, (speaker, text) in enumerate(turns):
        if form.round and place % 2 == 0:
            number = place // 2 + template.first_round
            parts.append(Part(None, "", form.round.format(number=number, sep=template.sep)))
        name = user if speaker == "user" else model
        if form.unnamed_first and place == 0 and speaker == "user":
            parts.append(Part(speaker, "", text, ends[0] if text else ""))
        elif not text:
            parts.append(Part(speaker, name + form.bare, ""))
        else:
            before = form.even_begin if place % 2 == 0 else ""
            said = form.begin + (form.change(text) if form.change else text)
            parts.append(Part(speaker, before + name + form.gap, said, ends[place % 2]))
    return [part for part in parts if part.prefix or part.message or part.end]


def answer_end(template: Conversation) -> str:
    """What stands behind an answer to a question.

    >>> answer_end(Conversation("ADD_COLON_TWO", ("USER", "ASSISTANT"), " ", "</s>"))
    '</s>'
    """
    return _ends(template)[1]


@dataclass(frozen=True, slots=True)
class _Form:
    """A style; `{sep}` and `{sep2}` stand for the separators of the template.

    Args:
        system_end: Ends the system part.
        gap: Between name and message.
        bare: Behind a name without a message.
        even_end: Ends the message at an even place.
        odd_end: Ends the message at an odd place.
        empty_system: The whole system part where there is no system text; None for its end alone.
        begin: Begins every message.
        even_begin: Stands before the name at an even place.
        round: Stands before every even place.
        change: What is done to a message.
        unnamed_first: Whether the user's first message stands without a name, behind the system part.
    """

    system_end: str
    gap: str
    bare: str
    even_end: str
    odd_end: str
    empty_system: str | None = ""
    begin: str = ""
    even_begin: str = ""
    round: str = ""
    change: Callable[[str], str] | None = None
    unnamed_first: bool = False


def _one_line_break(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\n\n", "\n")


_STYLES: Mapping[Style, _Form] = {
    "ADD_COLON_SINGLE": _Form("{sep}", ": ", ":", "{sep}", "{sep}", empty_system=None),
    "ADD_COLON_TWO": _Form("{sep}", ": ", ":", "{sep}", "{sep2}", empty_system=None),
    "ADD_COLON_SPACE_SINGLE": _Form("{sep}", ": ", ": ", "{sep}", "{sep}", empty_system=None),
    "ADD_NEW_LINE_SINGLE": _Form("{sep}", "\n", "\n", "{sep}", "{sep}"),
    "NO_COLON_SINGLE": _Form("", "", "", "{sep}", "{sep}"),
    "NO_COLON_TWO": _Form("", "", "", "{sep}", "{sep2}"),
    "RWKV": _Form("", ": ", ":", "\n\n", "\n\n", change=_one_line_break),
    "LLAMA2": _Form("", " ", "", "{sep}", "{sep2}", empty_system="[INST] ", unnamed_first=True),
    "CHATGLM": _Form("{sep}", "\uff1a", "\uff1a", "{sep}", "{sep}", round="[Round {number}]{sep}"),
    "CHATML": _Form("{sep}\n", "\n", "\n", "{sep}\n", "{sep}\n"),
    "CHATINTERN": _Form("", ":", ":", "{sep}\n", "{sep2}\n", even_begin="<s>"),
    "DOLLY": _Form("", ":\n", ":\n", "{sep}", "{sep2}\n\n"),
    "PHOENIX": _Form("", ": ", ": ", "</s>", "</s>", begin="<s>"),
    "ROBIN": _Form("{sep}", ":\n", ":\n", "{sep}", "{sep}", empty_system=None),
    "FALCON_CHAT": _Form("{sep}", ": ", ":", "{sep}", "{sep}"),
}


@cache
def _ends(template: Conversation) -> tuple[str, str]:
    form = _STYLES[template.style]
    return _filled(form.even_end, template), _filled(form.odd_end, template)


def _filled(text: str, template: Conversation) -> str:
    return text.format(sep=template.sep, sep2=template.sep2)


def _system_text(template: Conversation, form: _Form, given: str | None) -> str:
    message = template.system_message if given is None else given
    text = template.system_template.replace("{system_message}", message)
    # A text for the empty case says that the message decides; else what it is put into counts too.
    if message if form.empty_system else text:
        return text + _filled(form.system_end, template)
    return _filled(form.system_end, template) if form.empty_system is None else form.empty_system
