"""What stands before an answer is the beginning of what is trained, with and without the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from axolotl.errors import DataError
from axolotl.formats import BoundFormat, Shared, bind
from axolotl.records import Segment
from tests.formats.test_formats import FORMS, SHARED, TURNS, bound_to, row_for

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Is snow white?"},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": "And grass?"},
]
TALKING = {*TURNS, "chat_template", "sharegpt.load_role", "sharegpt.load_guanaco"}


def text_of(parts: Sequence[Segment]) -> str:
    return "".join(part.text for part in parts)


def native(form: str, turns: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """A row of a format of conversations."""
    if form == "chat_template":
        return {"messages": [{"role": role, "content": text} for role, text in turns]}
    role, said, user, model = TURNS[form]
    names = {"user": user, "assistant": model, "system": "system"}
    return {"conversations": [{role: names[who], said: text} for who, text in turns]}


@pytest.mark.parametrize("form", FORMS)
def test_a_row_is_asked_as_it_begins_in_training(form: str) -> None:
    bound = bound_to(form)
    row = row_for(form, "some text")
    trained, asked = bound.segments(row), bound.asked(row)
    assert not any(part.train for part in asked)
    assert asked
    assert text_of(trained).startswith(text_of(asked))
    if form != "chat_template":  # it asks in one piece
        begins = [(part.text, part.bos, part.joined) for part in trained]
        assert [(part.text, part.bos, part.joined) for part in asked] == begins[: len(asked)]
    assert row == row_for(form, "some text"), "the row is not changed"


@pytest.mark.parametrize("train_on_inputs", [False, True])
@pytest.mark.parametrize(
    ("kind", "row", "answer"),
    [
        ("alpaca", {"instruction": "Add.", "input": "1 2"}, {"output": "3"}),
        (
            "alpaca_w_system.load_open_orca",
            {"system_prompt": "s", "question": "q"},
            {"response": "a"},
        ),
        ("gpteacher", {"instruction": "Add.", "input": "1 2"}, {"response": "3"}),
        ("context_qa", {"article": "c", "question": "q"}, {"answer": "a"}),
        ("metharme", {"prompt": "<|user|>q<|model|>"}, {"generation": "a"}),
        ("summarizetldr", {"article": "long"}, {"summary": "s"}),
        ({"field_instruction": "q", "field_output": "a"}, {"q": "why"}, {"a": "so"}),
    ],
)
def test_the_answer_need_not_be_there(
    kind: Any, row: dict[str, Any], answer: dict[str, Any], train_on_inputs: bool
) -> None:
    bound = bind(kind, shared=Shared(train_on_inputs=train_on_inputs))
    asked = bound.asked(row)
    assert asked == bound.asked(row | answer)
    assert not any(part.train for part in asked)
    whole = bound.segments(row | answer)
    assert text_of(asked) + whole[-1].text == text_of(whole)


def test_what_else_is_missing_is_named() -> None:
    with pytest.raises(DataError, match="no field 'instruction'"):
        bind("alpaca").asked({"input": "1 2"})
    with pytest.raises(DataError, match="no field 'text'"):
        bind("completion").asked({"body": "1 2"})
    with pytest.raises(DataError, match="'instruction' is a number"):
        bind("alpaca").asked({"instruction": 5})
    assert bind("completion").asked({"text": "Once"}) == [Segment("Once", False, bos=True)]


@pytest.mark.parametrize("form", sorted(TALKING))
def test_a_conversation_is_asked_as_it_is_trained(form: str) -> None:
    bound = bound_to(form)
    assert bound.talks
    turns = [(turn["role"], turn["content"]) for turn in TALK]
    if form == "sharegpt.load_guanaco":  # knows no system text
        turns = turns[1:]
    messages = [{"role": role, "content": text} for role, text in turns]
    asked = bound.conversation(messages)
    assert asked == bound.asked(native(form, turns)), "without an answer"
    answered = native(form, [*turns, ("assistant", "Green.")])
    assert asked == bound.asked(answered), "with one"
    trained = text_of(bound.segments(answered))
    assert trained.startswith(text_of(asked))
    assert trained.removeprefix(text_of(asked)).strip().startswith("Green.")
    question = [{"role": "user", "content": "Hi."}]
    assert text_of(bound.conversation(question)) == text_of(bound.prompt("Hi."))


def test_a_format_of_single_questions_says_so() -> None:
    alpaca = bind("alpaca")
    assert not alpaca.talks
    assert alpaca.conversation([{"role": "user", "content": "Hi."}]) == alpaca.prompt("Hi.")
    with pytest.raises(DataError, match="no place for earlier turns"):
        alpaca.conversation(TALK)
    with pytest.raises(DataError, match="no place for system text"):
        alpaca.conversation([TALK[0], TALK[1]])


@pytest.mark.parametrize("form", ["chat_template", "sharegpt", "alpaca"])
@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        (TALK[:3], "the last message is an answer"),
        ([{"role": "user", "content": 5}], "number"),
        ([{"role": "wizard", "content": "x"}], "from 'wizard'"),
    ],
)
def test_messages_that_cannot_be_answered(
    form: str, messages: list[dict[str, Any]], problem: str
) -> None:
    with pytest.raises(DataError, match=problem):
        bound_to(form).conversation(messages)


def test_names_of_a_row_are_asked_too() -> None:
    row = {"conversations": [{"from": "human", "value": "Hi."}], "roles": ["ANN", "BOB"]}
    assert text_of(bound_to("sharegpt").asked(row)).endswith("ANN: Hi. BOB:")


def test_tools_reach_the_template() -> None:
    template = "{{ tools }}{% for m in messages %}[{{ m.content }}]{% endfor %}>"
    bound = bind("chat_template", shared=Shared(**{**SHARED, "chat_template_jinja": template}))
    tools = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
    question = [{"role": "user", "content": "1+2?"}]
    assert "'add'" in text_of(bound.conversation(question, tools))
    assert "'add'" in text_of(bound.asked({"messages": question, "tools": tools}))
    with pytest.raises(DataError, match="no place for tools"):
        bind("sharegpt").conversation(question, tools)


def bound_chat(**settings: Any) -> BoundFormat:
    return bind("chat_template", settings=settings, shared=SHARED)


def test_messages_are_read_in_the_usual_way_whatever_the_rows_are_called() -> None:
    odd = bound_chat(
        field_messages="talk", message_property_mappings={"role": "who", "content": "what"}
    )
    assert odd.conversation(TALK) == bound_chat().conversation(TALK)
    turns = [{"who": turn["role"], "what": turn["content"]} for turn in TALK]
    assert odd.asked({"talk": turns}) == bound_chat().conversation(TALK)
