"""Which chat template the tokenizer of a training is saved with."""

from __future__ import annotations

from typing import Any

import pytest

from axolotl.config.load import load_config
from axolotl.templates.named import named_template
from axolotl.training.chat import keep_template
from tests.conftest import build_tokenizer

OWN = named_template("chatml") + "{#- own -#}"
CHAT = {"path": "a.jsonl", "type": "chat_template"}
ALPACA = {"path": "a.jsonl", "type": "alpaca"}


def kept(*entries: dict[str, Any], own: str | None = OWN, **options: Any) -> Any:
    tokenizer = build_tokenizer()
    tokenizer.chat_template = own
    given = {"base_model": "a-model", "datasets": list(entries), **options}
    keep_template(tokenizer, load_config(given))
    return tokenizer.chat_template


@pytest.mark.parametrize(
    ("entries", "options", "template"),
    [
        ([CHAT], {}, OWN),
        ([ALPACA], {"chat_template": "llama3"}, OWN),
        ([CHAT], {"chat_template": "llama3"}, named_template("llama3")),
        ([ALPACA, CHAT], {"chat_template": "llama3"}, named_template("llama3")),
        (
            [{**CHAT, "chat_template": "gemma"}],
            {"chat_template": "llama3"},
            named_template("gemma"),
        ),
        ([{"path": "ids.arrow"}, CHAT], {"chat_template": "gemma"}, named_template("gemma")),
        ([{**CHAT, "type": {"field_output": "a"}}], {}, OWN),
    ],
)
def test_the_template_of_the_first_conversations_is_kept(
    entries: list[dict[str, Any]], options: dict[str, Any], template: str
) -> None:
    assert kept(*entries, **options) == template


def test_nothing_is_made_up_where_there_is_none() -> None:
    assert kept(ALPACA, own=None) is None


def test_several_templates_by_name_stay_where_one_of_them_is_in_use() -> None:
    several: Any = {"default": OWN, "tools": named_template("qwen_25")}
    assert kept(CHAT, own=several) == several


def test_another_template_further_down_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    entries = [CHAT, {**CHAT, "chat_template": "gemma"}]
    assert kept(*entries) == OWN
    said = " ".join(capsys.readouterr().err.split())
    assert "of datasets.0 is saved with the tokenizer" in said
    assert "(datasets.1 had another one in training); `axolotl inference` asks in it" in said
    kept(CHAT, CHAT)
    assert "saved" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("first", "asked"),
    [
        (ALPACA, "in the format of datasets.0, alpaca"),
        ({**CHAT, "type": {"field_output": "a"}}, "in the format of datasets.0, its own texts"),
        ({"path": "ids.arrow"}, "without any format, as datasets.0 is tokens already"),
    ],
)
def test_questions_are_said_to_be_asked_as_in_the_first_dataset(
    first: dict[str, Any], asked: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kept(first, CHAT, {**CHAT, "chat_template": "gemma"}) == OWN
    said = " ".join(capsys.readouterr().err.split())
    assert "of datasets.1 is saved with the tokenizer (datasets.2 had another one" in said
    assert f"`axolotl inference` asks {asked} (--prompter" in said
    kept(first, CHAT)
    assert f"with the tokenizer; `axolotl inference` asks {asked} (" in " ".join(
        capsys.readouterr().err.split()
    )
