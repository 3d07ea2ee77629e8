"""A question is asked in the very tokens that stood before an answer in training."""

from __future__ import annotations

from typing import Any

import pytest

from axolotl.config.load import load_config
from axolotl.core import console
from axolotl.data.encoder import Encoder
from axolotl.data.tokenize import SegmentBatch, tokenize
from axolotl.errors import UnknownName
from axolotl.formats import BoundFormat, bind
from axolotl.inference.prompt import choose_format, prompt_ids
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


@pytest.mark.parametrize("with_bos", [False, True], ids=["plain", "bos"])
@pytest.mark.parametrize("kind", ["alpaca", "alpaca:chat", "alpaca:chatml", "completion"])
def test_the_prompt_is_the_beginning_of_a_training_row(
    tokenizer: Any, bos_tokenizer: Any, kind: str, with_bos: bool
) -> None:
    encoder = Encoder(bos_tokenizer if with_bos else tokenizer)
    bound = bind(kind)
    question, answer = "Name three colours.", "Red, green and blue."
    row = {"instruction": question, "output": answer, "text": question}
    batch = SegmentBatch()
    batch.add(bound.segments(row))
    trained, _ = tokenize(batch, encoder)
    whole = trained.input_ids.tolist()
    ids = prompt_ids([question], bound=bound, encoder=encoder)[0]
    assert whole[: len(ids)] == ids
    assert (ids[0] == 1) is with_bos
    if kind == "completion":
        assert whole[len(ids) :] == [2]
    else:
        assert all(label == -100 for label in trained.labels[: len(ids)])
        assert all(label != -100 for label in trained.labels[len(ids) :])


def test_several_prompts_are_those_of_each(tokenizer: Any) -> None:
    encoder = Encoder(tokenizer)
    texts = ["one", "and another one", "x"]
    together = prompt_ids(texts, bound=bind("alpaca"), encoder=encoder)
    assert together == [prompt_ids([t], bound=bind("alpaca"), encoder=encoder)[0] for t in texts]
    assert prompt_ids([], bound=None, encoder=encoder) == []


def test_without_a_format_the_text_is_asked_as_it_is(bos_tokenizer: Any) -> None:
    ids = prompt_ids(["Red, green"], bound=None, encoder=Encoder(bos_tokenizer))[0]
    assert ids == bos_tokenizer("Red, green")["input_ids"]


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
