"""Parts of what a turn says that are trained or not, and where they stand in the rendered text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, cast

from axolotl.errors import DataError
from axolotl.formats._fields import kind_of

_BORDERS = range(0x10FFFC, 0x100000, -1)
"""Signs that may stand where a part begins or ends in what is rendered; one that a text has not."""
_EXAMPLE = '[{"begin_offset": 0, "end_offset": 4, "train": true}]'


class Part(NamedTuple):
    """Some characters of what a turn says.

    Args:
        begin: Where they begin.
        end: Behind the last.
        train: Whether they are trained.
    """

    begin: int
    end: int
    train: bool


def details_of(written: object, text: str, number: int, key: str) -> list[Part]:
    """What a turn says of its characters, in order.

    Args:
        written: `begin_offset`, `end_offset` (the last character) and `train`, of each part.
        text: What the turn says.
        number: Number of the turn, for messages.
        key: Key that it stands under, for messages.

    Raises:
        DataError: it is of the wrong shape, overlaps, or reaches beyond the text.

    >>> details_of([{"begin_offset": 0, "end_offset": 1, "train": False}], "So.", 2, "detail")
    [Part(begin=0, end=2, train=False)]
    """
    place = f"'{key}' of turn {number}"
    if not isinstance(written, list):
        raise DataError(f"{place} is {kind_of(written)}, not a list", hint=f"write {_EXAMPLE}")
    parts: list[Part] = []
    for one in cast("list[object]", written):
        given = cast("Mapping[str, Any]", one if isinstance(one, Mapping) else {})
        begin, end, train = (given.get(n) for n in ("begin_offset", "end_offset", "train"))
        whole = all(isinstance(n, int) and not isinstance(n, bool) for n in (begin, end))
        if not whole or not isinstance(train, bool):
            raise DataError(
                f"{place} has a part without two offsets and `train` as true or false",
                hint=f"write {_EXAMPLE}",
            )
        part = Part(cast("int", begin), cast("int", end) + 1, train)
        if not 0 <= part.begin < part.end <= len(text):
            raise DataError(
                f"{place}: the characters {begin} to {end} are not all there, the text has "
                f"{len(text)}",
                hint="offsets count characters from 0, the last one included",
            )
        parts.append(part)
    parts.sort()
    for before, after in pairwise(parts):
        if after.begin < before.end:
            raise DataError(
                f"{place}: the characters from {after.begin} on are in two parts",
                hint="end a part before the next one begins",
            )
    return parts


def placed_parts(
    messages: Sequence[Mapping[str, Any]],
    parts: Mapping[int, Sequence[Part]],
    text: str,
    render: Callable[[Sequence[Mapping[str, Any]]], str],
) -> dict[int, list[Part]]:
    """Where parts of messages stand in the text of the conversation.

    The conversation is rendered once more with a sign at every border, so that a text that stands
    twice, or that the template takes spaces off, is no riddle.

    Args:
        messages: The messages.
        parts: Number of a message → parts of its content.
        text: The text of the conversation.
        render: The template.

    Raises:
        DataError: the template writes something else than the content.
    """
    sign = next(sign for sign in map(chr, _BORDERS) if sign not in text)
    for strip in (False, True):
        marked = [
            {**message, "content": _with_borders(message["content"], parts[n], sign, strip=strip)}
            if n in parts
            else message
            for n, message in enumerate(messages)
        ]
        pieces = render(marked).split(sign)
        borders = [2 * len(some) for some in parts.values()]
        if "".join(pieces) == text and len(pieces) == sum(borders) + 1:
            return _between(pieces, parts)
    turns = ", ".join(str(n + 1) for n in parts)
    raise DataError(
        f"the chat template changes what turn {turns} says, so its characters cannot be told apart",
        hint="train whole turns of this row, or choose another chat_template",
    )


def _with_borders(content: str, parts: Sequence[Part], sign: str, *, strip: bool) -> str:
    """The content with a sign at each border; where spaces at its ends go, behind or before those."""
    least = len(content) - len(content.lstrip()) if strip else 0
    most = len(content.rstrip()) if strip else len(content)
    made: list[str] = []
    at = 0
    for part in parts:
        for border in (part.begin, part.end):
            border = max(at, min(max(border, least), most))
            made += [content[at:border], sign]
            at = border
    return "".join([*made, content[at:]])


def _between(pieces: Sequence[str], parts: Mapping[int, Sequence[Part]]) -> dict[int, list[Part]]:
    positions: list[int] = []
    for piece in pieces[:-1]:
        positions.append((positions[-1] if positions else 0) + len(piece))
    borders = iter(positions)
    return {
        number: [Part(next(borders), next(borders), part.train) for part in some]
        for number, some in sorted(parts.items())
    }
