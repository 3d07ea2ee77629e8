"""Rows with choices, for both formats that read them."""

from typing import Any

import pytest

from axolotl.errors import DataError
from axolotl.formats import bind

ROW: dict[str, Any] = {"question": "Which is warm?", "choices": ["red", "blue"]}
BOTH = pytest.mark.parametrize("kind", ["explainchoice", "concisechoice"])


@BOTH
@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"solution": "red", "explanation": "Red is warm."}, "red"),
        ({"explanation": "Red is warm."}, "Red is warm."),
        ({"solution": None, "explanation": "Red is warm."}, "Red is warm."),
    ],
)
def test_the_solution_wins(kind: str, answer: dict[str, Any], text: str) -> None:
    assert bind(kind).segments(ROW | answer)[1].text == text


@BOTH
def test_choices_that_are_no_list_of_texts(kind: str) -> None:
    with pytest.raises(
        DataError, match=r"'choices' is text \(\"red, blue\"\), not a list of texts"
    ):
        bind(kind).segments(ROW | {"choices": "red, blue", "solution": "red"})
    with pytest.raises(DataError, match=r"'choices\[1\]' is a number \(2\), not text"):
        bind(kind).segments(ROW | {"choices": ["1", 2], "solution": "1"})


@BOTH
def test_a_row_without_an_answer(kind: str) -> None:
    with pytest.raises(DataError, match="no field 'solution' and no 'explanation'"):
        bind(kind).segments(ROW)
