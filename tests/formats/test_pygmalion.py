from __future__ import annotations

from typing import Any

import pytest

from axolotl.errors import DataError
from axolotl.formats import bind
from axolotl.formats._turns import EMPTY_TURN
from axolotl.formats.pygmalion import LEFT_OUT
from axolotl.records import Segment


def talk(*turns: tuple[str, Any]) -> dict[str, Any]:
    return {"conversations": [{"role": role, "value": value} for role, value in turns]}


SYSTEM, HUMAN, BOT = ("system", "Shy.\n<START>"), ("human", " Hi. \n"), ("bot", "H-hello.\n")


def test_text_and_mask() -> None:
    row = talk(SYSTEM, HUMAN, BOT, HUMAN, BOT)
    user, name = Segment("<|user|> Hi.", False), Segment("<|model|>", False)
    answer = Segment(" H-hello.", True, eos=1, joined=True)
    persona = Segment("<|system|>Persona: Shy.", False, bos=True)
    assert bind("pygmalion").segments(row) == [persona, user, name, answer, user, name, answer]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Shy.", "Shy."),
        ("Shy.\n<START>\n", "Shy.\n<START>"),
        ("\nShy.\n<START>\n<START>", "Shy.\n<START>"),
    ],
)
def test_one_mark_of_the_start_is_taken_off_the_end(written: str, read: str) -> None:
    first = bind("pygmalion").segments(talk(("system", written), BOT))[0]
    assert first.text == f"<|system|>Persona: {read}"


@pytest.mark.parametrize(
    ("turns", "wording", "expected"),
    [
        ([SYSTEM, HUMAN, BOT], "canonical", ["<|system|>Persona: Shy."]),
        ([HUMAN, BOT], "canonical", ["<|user|> Hi."]),
        ([BOT, HUMAN], "canonical", ["<|model|>"]),
        ([HUMAN, SYSTEM, BOT], "canonical", ["<|user|> Hi."]),
        ([SYSTEM, HUMAN, BOT], "2023-10", ["<|system|>Persona: Shy."]),
        ([HUMAN, BOT], "2023-10", []),
    ],
)
def test_where_the_begin_token_stands(
    turns: list[tuple[str, str]], wording: str, expected: list[str]
) -> None:
    bound = bind("pygmalion", settings={"prompt_templates": wording})
    assert [part.text for part in bound.segments(talk(*turns)) if part.bos] == expected


def test_a_question_is_asked_as_in_training() -> None:
    for wording in ("canonical", "2023-10"):
        bound = bind("pygmalion", settings={"prompt_templates": wording})
        assert bound.prompt("Hi. ") == bound.segments(talk(HUMAN, BOT))[:2]


@pytest.mark.parametrize(
    ("turns", "remarks"),
    [
        ([HUMAN, BOT], []),
        ([BOT, BOT], []),
        ([HUMAN, ("narrator", "It is late."), BOT], [LEFT_OUT]),
        ([HUMAN, ("bot", " ")], [EMPTY_TURN]),
    ],
)
def test_an_odd_row_is_used_and_remarked_on(
    turns: list[tuple[str, str]], remarks: list[str]
) -> None:
    bound = bind("pygmalion")
    text = "".join(part.text for part in bound.segments(talk(*turns)))
    assert "It is late." not in text
    assert bound.remarks(talk(*turns)) == remarks


@pytest.mark.parametrize(
    ("row", "what", "hint"),
    [
        ({"conversations": []}, "'conversations' has no turns", "take the row out"),
        ({"conversations": "Hi."}, "is text", 'such as [{"role": "human", "value": "…"}, …]'),
        (talk(HUMAN, ("bot", None)), "'value' of turn 2 is null", "give the turn a text"),
        (
            {"conversations": [{"from": "human", "value": "Hi."}]},
            "turn 1 has no 'role'",
            "are read by `type: sharegpt`",
        ),
    ],
)
def test_a_row_that_cannot_be_used(row: dict[str, Any], what: str, hint: str) -> None:
    with pytest.raises(DataError, match=what) as caught:
        bind("pygmalion").segments(row)
    assert caught.value.hint
    assert hint in caught.value.hint
