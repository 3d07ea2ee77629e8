import re
from typing import Any

import pytest

from axolotl.errors import DataError
from axolotl.formats._fields import first_text, nullable_text, required_mapping, required_texts


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("red, blue", "'choices' is text (\"red, blue\"), not a list of texts"),
        ({"a": "red"}, "'choices' is an object, not a list of texts"),
        (["red", 5], "'choices[1]' is a number (5), not text"),
        (["red", None], "'choices[1]' is null, not text"),
        ([["red"]], "'choices[0]' is a list, not text"),
        ([], "'choices' is an empty list"),
        (None, "'choices' is null"),
    ],
)
def test_a_list_of_texts(value: Any, message: str) -> None:
    assert required_texts({"choices": ["red"]}, "choices") == ["red"]
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        required_texts({"choices": value}, "choices")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("clarity: 7", "'scores' is text (\"clarity: 7\"), not an object"),
        ([7], "'scores' is a list, not an object"),
        (True, "'scores' is true or false (true), not an object"),
        (None, "'scores' is null"),
    ],
)
def test_an_object(value: Any, message: str) -> None:
    assert required_mapping({"scores": {"clarity": 7}}, "scores") == {"clarity": 7}
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        required_mapping({"scores": value}, "scores")
    assert caught.value.hint


def test_a_long_text_is_shown_in_part() -> None:
    with pytest.raises(DataError, match="…") as caught:
        required_mapping({"scores": "x" * 10_000}, "scores")
    assert len(caught.value.what) < 100


@pytest.mark.parametrize(
    ("row", "text"),
    [({"a": "x", "b": "y"}, "x"), ({"b": "y"}, "y"), ({"a": None, "b": "y"}, "y"), ({"a": ""}, "")],
)
def test_the_first_field_that_is_there_counts(row: dict[str, Any], text: str) -> None:
    assert first_text(row, "a", "b") == text


@pytest.mark.parametrize(
    ("row", "message", "hint"),
    [
        ({}, "no field 'output' and no 'response' (the row has no fields)", "add 'output'"),
        (
            {"respones": "x"},
            "no field 'output' and no 'response'",
            "rename 'respones' to 'response'",
        ),
        ({"output": None}, "'output' is null", "give it a text"),
        ({"output": 5, "response": "x"}, "'output' is a number (5), not text", "as text in quotes"),
    ],
)
def test_none_of_several_fields(row: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        first_text(row, "output", "response")
    assert hint in (caught.value.hint or "")


def test_a_field_that_may_be_null_must_be_there() -> None:
    assert nullable_text({"system": None}, "system") == ""
    with pytest.raises(DataError, match="no field 'system'") as caught:
        nullable_text({"sytem": "Be brief."}, "system")
    assert caught.value.hint == "rename 'sytem' to 'system'"
