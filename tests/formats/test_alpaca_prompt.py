"""The wording of prompts, and what is shared by the formats that are built on it."""

from typing import Any

import pytest

from axolotl.config import load_config
from axolotl.errors import ConfigError
from axolotl.formats import bind, shared_settings

ROW = {"instruction": "Name a colour.", "output": "Red."}
OLD, NEW = "### System:\nBelow is", "Below is"


def prompt_of(entry: dict[str, Any], **whole: Any) -> str:
    config = load_config({"base_model": "m", "datasets": [{"path": "d", **entry}], **whole})
    (source,) = config.data.datasets
    assert isinstance(source.type, str)
    bound = bind(source.type, settings=source.settings(), shared=shared_settings(config))
    return bound.segments(ROW)[0].text


@pytest.mark.parametrize(
    ("entry", "whole", "begins"),
    [
        ({}, {}, NEW),
        ({}, {"prompt_templates": "2023-10"}, OLD),
        ({"prompt_templates": "2023-10"}, {}, OLD),
        ({"prompt_templates": "canonical"}, {"prompt_templates": "2023-10"}, NEW),
    ],
)
def test_prompt_templates_of_an_entry_win_over_those_of_the_file(
    entry: dict[str, Any], whole: dict[str, Any], begins: str
) -> None:
    assert prompt_of({"type": "alpaca", **entry}, **whole).startswith(begins)


def test_the_wording_is_part_of_what_a_format_is() -> None:
    old = bind("alpaca", settings={"prompt_templates": "2023-10"}).identity()
    assert old != bind("alpaca").identity()


@pytest.mark.parametrize("kind", ["summarizetldr", "metharme", "completion"])
def test_a_format_of_one_wording_has_no_such_setting(kind: str) -> None:
    with pytest.raises(ConfigError, match=f"'{kind}' has no setting 'prompt_templates'"):
        bind(kind, settings={"prompt_templates": "2023-10"})
    assert bind(kind, shared={"prompt_templates": "2023-10"}) == bind(kind)


@pytest.mark.parametrize("kind", ["concisechoice", "summarizetldr"])
@pytest.mark.parametrize("style", ["instruct", "chat", "chatml"])
def test_a_style_changes_nothing_where_there_is_one_form(kind: str, style: str) -> None:
    assert bind(f"{kind}:{style}").prompt("Why?") == bind(kind).prompt("Why?")


Q = "Name a colour."
PLAIN_ROWS: dict[str, dict[str, Any]] = {
    "alpaca": ROW,
    "alpaca:chat": ROW,
    "alpaca:chatml": ROW,
    "gpteacher": {"instruction": Q, "response": "Red."},
    "oasst": {"INSTRUCTION": Q, "RESPONSE": "Red."},
    "jeopardy": {"question": Q, "category": None, "answer": "Red."},
    "summarizetldr": {"article": Q, "summary": "Red."},
    "reflection": {**ROW, "reflection": "Good.", "corrected": "Red."},
    "reflection:instruct": {**ROW, "reflection": "Good.", "corrected": "Red."},
    "reflection:chat": {**ROW, "reflection": "Good.", "corrected": "Red."},
    "alpaca_chat": ROW,
    "alpaca_chat.load_concise": ROW,
    "alpaca_chat.load_qa": {"question": Q, "answer": "Red."},
    "alpaca_chat.load_camel_ai": {"message_1": Q, "message_2": "Red."},
    "alpaca_chat.load_no_prompt": ROW,
    "alpaca_instruct": ROW,
    "alpaca_instruct.load_no_prompt": ROW,
    "alpaca_w_system": {"system": "", **ROW},
    "alpaca_w_system.load_instruct": {"system": "", **ROW},
    "alpaca_w_system.load_open_orca": {"system_prompt": "", "question": Q, "response": "Red."},
    "orcamini": {"system_prompt": "", "question": Q, "response": "Red."},
    "creative_acr.load_answer": {"instruction": Q, "revision": "Red."},
    "metharme": {"prompt": Q, "generation": "Red."},
}


@pytest.mark.parametrize("wording", ["canonical", "2023-10"])
@pytest.mark.parametrize("kind", PLAIN_ROWS)
def test_a_question_is_asked_as_in_training(kind: str, wording: str) -> None:
    bound = bind(kind, shared={"prompt_templates": wording})
    assert bound.prompt(Q) == bound.segments(PLAIN_ROWS[kind])[:1]
