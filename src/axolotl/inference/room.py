"""Whether a prompt leaves room for an answer, known of a far too long one by its beginning alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from axolotl.errors import DataError
from axolotl.records import Segment

_CHARACTERS = 8
"""Characters for each position of the model that are looked at; common text has four to a token."""
_SPARE = 1.5
"""What follows may change the last tokens of a beginning, and not a third of them."""


def check_room(tokens: int, positions: int | None, *, more: bool = False) -> None:
    """Refuse a prompt that cannot be answered.

    Args:
        tokens: How many it has.
        positions: How many tokens prompt and answer may have together; None where there is no limit.
        more: Whether it has more than these.

    Raises:
        DataError: it is empty, or leaves no room for an answer.
    """
    if not tokens:
        raise DataError("the prompt is empty", hint="write a question")
    if positions is not None and tokens >= positions:
        has = f"more than {positions}" if more else tokens
        raise DataError(
            f"the prompt has {has} tokens, and the model only {positions} positions",
            hint="shorten it",
        )


def check_beginning(
    prompt: Sequence[Segment], positions: int, encode: Callable[[Sequence[Segment]], Sequence[int]]
) -> None:
    """Refuse a prompt whose beginning has far too many tokens, before it is encoded whole.

    Args:
        prompt: The prompt.
        positions: How many tokens prompt and answer may have together.
        encode: Token ids of segments.

    Raises:
        DataError: it leaves no room for an answer.
    """
    begin = _beginning(prompt, _CHARACTERS * positions)
    if begin is not None and len(encode(begin)) > _SPARE * positions:
        check_room(positions, positions, more=True)


def _beginning(prompt: Sequence[Segment], characters: int) -> list[Segment] | None:
    """So many characters of a prompt; None where it has no more."""
    found: list[Segment] = []
    for segment in prompt:
        if len(segment.text) > characters:
            return [*found, replace(segment, text=segment.text[:characters], eos=0)]
        found.append(segment)
        characters -= len(segment.text)
    return None
