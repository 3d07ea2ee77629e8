from typing import Any

import pytest

from axolotl.errors import UnknownName
from axolotl.formats import bind

ROW = {
    "instruction": "Name a colour.",
    "output": "Blue.",
    "reflection": "Blue is cold.",
    "corrected": "Red.",
}


@pytest.mark.parametrize("style", ["", ":instruct", ":chat"])
@pytest.mark.parametrize("extra", ["", "It must be warm."])
def test_prompt_and_answer_are_tokenized_together(style: str, extra: str) -> None:
    prompt, answer = bind(f"reflection{style}").segments(ROW | {"input": extra})
    assert (prompt.train, answer.train, answer.joined, answer.eos) == (False, True, True, 1)
    assert ("You, the Assistant" in prompt.text) is bool(style)
    assert ("paired with an input" in prompt.text) is bool(style and extra)
    assert "Red." in answer.text


def test_the_old_wording_of_a_chat_loses_the_better_answer() -> None:
    old = bind("reflection:chat", settings={"prompt_templates": "2023-10"}).segments(ROW)[1]
    new = bind("reflection:chat").segments(ROW)[1]
    assert new.text == f"{old.text} Red."


@pytest.mark.parametrize("empty", ["output", "reflection", "corrected"])
def test_a_row_without_one_of_the_texts_has_nothing_to_train(empty: str) -> None:
    row: dict[str, Any] = ROW | {empty: ""}
    answer = bind("reflection").segments(row)[1]
    assert (answer.text, answer.joined) == ("", False)


def test_there_is_no_third_style() -> None:
    with pytest.raises(UnknownName, match="Available: reflection, reflection:instruct, refl"):
        bind("reflection:chatml")
