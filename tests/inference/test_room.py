"""A prompt that is far too long is refused by its beginning, and no other one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from axolotl.errors import DataError
from axolotl.inference.room import check_beginning, check_room
from axolotl.records import Segment


class Encoding:
    """Gives so many tokens for each character, and remembers what it was given."""

    def __init__(self, tokens: float) -> None:
        self.texts: list[str] = []
        self._tokens = tokens

    def __call__(self, prompt: Sequence[Segment]) -> list[int]:
        self.texts.append("".join(segment.text for segment in prompt))
        return [0] * int(len(self.texts[-1]) * self._tokens)


LONG = [Segment("Head. ", False, bos=True), Segment("x" * 10_000, False), Segment("y", False)]


def test_a_far_too_long_prompt_is_not_encoded_whole() -> None:
    encode = Encoding(0.25)
    with pytest.raises(DataError, match="more than 100 tokens, and the model only 100 positions"):
        check_beginning(LONG, 100, encode)
    assert encode.texts == ["Head. " + "x" * 794]


def test_a_long_prompt_of_few_tokens_is_not_refused() -> None:
    encode = Encoding(0.15)
    check_beginning(LONG, 100, encode)
    assert len(encode.texts) == 1


def test_a_prompt_that_may_fit_is_not_encoded_twice() -> None:
    encode = Encoding(1)
    check_beginning(LONG, 2000, encode)
    check_beginning([], 100, encode)
    assert encode.texts == []


def test_room_is_for_an_answer_too() -> None:
    check_room(99, 100)
    check_room(10**9, None)
    with pytest.raises(DataError, match="has 100 tokens, and the model only 100 positions"):
        check_room(100, 100)
    with pytest.raises(DataError, match="the prompt is empty"):
        check_room(0, None)
