"""The format that questions are asked in."""

from __future__ import annotations

from typing import Any

import pytest

from axolotl.config import Config
from axolotl.config.load import load_config
from axolotl.core import console
from axolotl.data.encoder import Encoder
from axolotl.data.entries import of_first_entry
from axolotl.errors import UnknownName
from axolotl.formats import BoundFormat
from axolotl.inference.prompt import choose_format
from axolotl.templates.named import named_template
from tests.conftest import build_tokenizer


def options_of(kind: Any, *, for_all: dict[str, Any] | None = None, **settings: Any) -> Config:
    entry = {"path": "x.jsonl", "type": kind, **settings}
    return load_config({"base_model": "a-model", "datasets": [entry], **(for_all or {})})


def choose(
    prompter: str | None, trained: Any, kind: Any, *, template: str | None = None, **settings: Any
) -> BoundFormat | None:
    """What is chosen; with a template, that is saved with the tokenizer."""
    tokenizer = build_tokenizer()
    tokenizer.chat_template = template
    options, encoder = options_of(kind, **settings), Encoder(tokenizer)
    return choose_format(
        prompter, trained=trained, options=options, encoder=encoder, saved=template is not None
    )


def text_of(bound: BoundFormat | None) -> str:
    assert bound is not None
    return "".join(part.text for part in bound.prompt("Colour?"))


@pytest.fixture(autouse=True)
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(console, "note", lines.append)
    monkeypatch.setattr(console, "_said", set())
    return lines


def test_the_format_of_the_training_wins_over_the_file_and_says_so(said: list[str]) -> None:
    bound = choose(None, {"type": "alpaca:chat"}, "alpaca")
    assert bound is not None
    assert bound.type == "alpaca:chat"
    assert len(said) == 1
    assert "alpaca:chat; the file says alpaca now" in said[0]


def test_the_format_of_the_file_is_asked_without_a_run(said: list[str]) -> None:
    bound = choose(None, None, "completion", field="body")
    assert bound is not None
    assert bound.fields == ("body",)
    same = choose(None, {"type": "alpaca"}, "alpaca")
    assert same is not None
    assert said == []


def test_a_prompter_wins_over_both() -> None:
    trained = {"type": "alpaca"}
    bound = choose("alpaca:chatml", trained, "alpaca")
    assert bound is not None
    assert bound.type == "alpaca:chatml"
    for name in ("none", "None", ""):
        assert choose(name, trained, "alpaca") is None
    with pytest.raises(UnknownName, match="--prompter"):
        choose("alpcaa", trained, "alpaca")


def test_tokens_that_came_without_a_format_are_asked_as_text(said: list[str]) -> None:
    assert choose(None, {}, None) is None
    assert "asked as plain text" in said[0]


OLD, THINK = {"prompt_templates": "2023-10"}, {"chat_template_kwargs": {"enable_thinking": False}}
ENTRY = {"type": "chat_template"}


@pytest.mark.parametrize(
    ("kind", "then", "now", "names"),
    [
        ("alpaca", OLD, {}, "prompt_templates"),
        ("alpaca", {}, OLD, "prompt_templates"),
        ("chat_template", THINK, {}, "chat_template_kwargs"),
        ("chat_template", {}, THINK, "chat_template_kwargs"),
    ],
)
def test_what_held_for_all_datasets_is_asked_as_it_was(
    said: list[str], kind: str, then: dict[str, Any], now: dict[str, Any], names: str
) -> None:
    template = named_template("qwen3")
    trained = of_first_entry(options_of(kind, for_all=then))
    asked = text_of(choose(None, trained, kind, template=template, for_all=now))
    assert said == [
        f"questions are asked as in training; of {names} the file says something else now"
    ]
    assert asked == text_of(choose(None, trained, kind, template=template, for_all=then))
    assert asked != text_of(choose(None, None, kind, template=template, for_all=now))
    assert len(said) == 1, "the same file says nothing else"


def test_a_record_that_does_not_say_what_held_for_all_leaves_it_to_the_file() -> None:
    bound = choose(None, {"type": "alpaca", "settings": {}}, "alpaca", for_all=OLD)
    assert text_of(bound).startswith("### System:")


def test_two_own_texts_and_two_chat_templates_are_told_apart(said: list[str]) -> None:
    own = [{"no_input_format": text} for text in ("Q: {instruction} A:", "{instruction}!")]
    bound = choose(None, of_first_entry(options_of(own[0])), own[1])
    assert text_of(bound) == "Q: Colour? A:"
    assert "of no_input_format the file says something else" in said[0]
    trained = of_first_entry(options_of("chat_template", chat_template="chatml"))
    there = {"template": named_template("chatml"), "chat_template": "llama3"}
    assert "<|im_start|>" in text_of(choose(None, trained, "chat_template", **there))
    assert "of chat_template the file says something else" in said[1]
    for same in ("chatml", None, "tokenizer_default"):
        choose(None, trained, "chat_template", template=there["template"], chat_template=same)
    gone = {"template": there["template"], "chat_template_jinja": "gone.jinja"}
    assert "<|im_start|>" in text_of(choose(None, trained, "chat_template", **gone))
    assert len(said) == 3
    assert "of datasets.0.chat_template_jinja the file says something else" in said[2]


def test_where_no_template_is_saved_it_is_the_one_that_was_named() -> None:
    trained = of_first_entry(options_of("chat_template", for_all={"chat_template": "chatml"}))
    assert "<|im_start|>" in text_of(choose(None, trained, "chat_template", chat_template="llama3"))


def test_what_is_trained_of_a_row_makes_no_other_question(said: list[str]) -> None:
    trained = of_first_entry(options_of("chat_template", chat_template="chatml"))
    now = {"roles_to_train": ["user"], "train_on_eos": "all", "for_all": {"train_on_inputs": True}}
    choose(None, trained, "chat_template", template=named_template("chatml"), **now)
    assert said == []
