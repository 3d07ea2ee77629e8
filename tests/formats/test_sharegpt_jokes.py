from __future__ import annotations

from typing import Any

import pytest

from axolotl.errors import DataError
from axolotl.formats import bind
from axolotl.records import Segment

JOKE = {"title": "Pun.", "text": "A pun.", "explanation": "Because."}


def answers(parts: list[Segment]) -> list[str]:
    return [part.text for part in parts if part.train]


@pytest.mark.parametrize("row", [JOKE, {"conversations": [JOKE]}])
def test_the_fields_stand_in_the_row_or_in_its_first_turn(row: dict[str, Any]) -> None:
    bound = bind("sharegpt_jokes", settings={"conversation": "tulu"})
    assert "".join(part.text for part in bound.segments(row)) == (
        "<|user|>\nTell me a joke.\n<|assistant|>\nPun. A pun.\n"
        "<|user|>\nWhy is that joke funny?\n<|assistant|>\nBecause.\n"
    )
    assert answers(bound.segments(row)) == ["\nPun. A pun.\n", "\nBecause.\n"]


@pytest.mark.parametrize("title", [{}, {"title": None}, {"title": ""}])
def test_a_joke_without_title(title: dict[str, Any]) -> None:
    row = {"text": "A pun.", "explanation": "Because."} | title
    assert answers(bind("sharegpt_jokes").segments(row)) == [" A pun.</s>", " Because.</s>"]


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"title": "Pun.", "text": "A pun."}, r"^no field 'explanation'"),
        ({"conversations": [{"text": "A pun."}]}, r"^conversations\[0\]: no field 'explanation'"),
        ({"conversations": [JOKE | {"text": None}]}, r"^conversations\[0\]: 'text' is null"),
        ({"conversations": []}, r"^no field 'text'"),
        ({"conversations": "A pun."}, r"^no field 'text'"),
        (JOKE | {"title": 5}, r"^'title' is a number \(5\), not text"),
    ],
)
def test_a_row_that_cannot_be_used(row: dict[str, Any], what: str) -> None:
    with pytest.raises(DataError, match=what) as caught:
        bind("sharegpt_jokes").segments(row)
    assert caught.value.hint
