"""The format that questions are asked in."""

from __future__ import annotations

from typing import Any

import pytest

from axolotl.config.load import load_config
from axolotl.core import console
from axolotl.data.encoder import Encoder
from axolotl.errors import UnknownName
from axolotl.formats import BoundFormat
from axolotl.inference.prompt import choose_format
from tests.conftest import build_tokenizer


def choose(prompter: str | None, run: Any, kind: str | None, **settings: Any) -> BoundFormat | None:
    entry = {"path": "x.jsonl", "type": kind, **settings}
    options = load_config({"base_model": "a-model", "datasets": [entry]})
    return choose_format(prompter, run=run, options=options, encoder=Encoder(build_tokenizer()))


@pytest.fixture(autouse=True)
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(console, "note", lines.append)
    monkeypatch.setattr(console, "_said", set())
    return lines


def test_the_format_of_the_training_wins_over_the_file_and_says_so(said: list[str]) -> None:
    run = {"format": {"type": "alpaca:chat"}}
    bound = choose(None, run, "alpaca")
    assert bound is not None
    assert bound.type == "alpaca:chat"
    assert len(said) == 1
    assert "alpaca:chat; the file says alpaca now" in said[0]


def test_the_format_of_the_file_is_asked_without_a_run(said: list[str]) -> None:
    bound = choose(None, None, "completion", field="body")
    assert bound is not None
    assert bound.fields == ("body",)
    same = choose(None, {"format": {"type": "alpaca"}}, "alpaca")
    assert same is not None
    assert said == []


def test_a_prompter_wins_over_both() -> None:
    run = {"format": {"type": "alpaca"}}
    bound = choose("alpaca:chatml", run, "alpaca")
    assert bound is not None
    assert bound.type == "alpaca:chatml"
    for name in ("none", "None", ""):
        assert choose(name, run, "alpaca") is None
    with pytest.raises(UnknownName, match="--prompter"):
        choose("alpcaa", run, "alpaca")


def test_tokens_that_came_without_a_format_are_asked_as_text(said: list[str]) -> None:
    assert choose(None, {"format": {}}, None) is None
    assert "asked as plain text" in said[0]
