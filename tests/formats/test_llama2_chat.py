from typing import Any

import pytest

from axolotl.errors import DataError
from axolotl.formats import bind


def row(*turns: tuple[str, str]) -> dict[str, Any]:
    return {"conversations": [{"from": role, "value": text} for role, text in turns]}


HUMAN, GPT = ("human", " Hi.\n"), ("gpt", "Hello. ")


def test_without_a_system_turn_it_is_the_text_that_llama_2_came_with() -> None:
    question, answer = bind("llama2_chat").segments(row(HUMAN, GPT))
    assert question.text.startswith("[INST] <<SYS>>\nYou are a helpful, respectful and honest")
    assert question.text.endswith("share false information.\n<</SYS>>\n\nHi. [/INST]")
    assert answer.text == " Hello. "
    assert bind("llama2_chat").prompt("Hi.")[0].text == question.text


def test_an_empty_system_turn_leaves_it_out() -> None:
    assert bind("llama2_chat").segments(row(("system", ""), HUMAN, GPT))[0].text == (
        "[INST] Hi. [/INST]"
    )


def test_every_question_begins_anew_and_every_answer_ends() -> None:
    parts = bind("llama2_chat").segments(row(HUMAN, GPT, HUMAN, GPT, HUMAN))
    assert [(p.bos, p.eos, p.train, p.joined) for p in parts] == [
        (True, 0, False, False),
        (False, 1, True, True),
    ] * 2 + [(True, 0, False, False)]


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ((GPT, HUMAN), "the model speaks first"),
        ((HUMAN, HUMAN, GPT), "two turns of the user in a row"),
        ((HUMAN, GPT, GPT), "two turns of the model in a row"),
        ((HUMAN,), "has one turn"),
        ((HUMAN, ("narrator", "x")), "turn 2 is from 'narrator'"),
    ],
)
def test_turns_that_have_no_place_in_the_form(
    turns: tuple[tuple[str, str], ...], message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        bind("llama2_chat").segments(row(*turns))
    assert caught.value.hint
