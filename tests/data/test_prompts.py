"""A question is asked in the very tokens that stood before an answer in training."""

from __future__ import annotations

from typing import Any

import pytest

from axolotl.config.load import load_config
from axolotl.data.encoder import Encoder
from axolotl.data.prompts import format_of_first_entry, prompt_ids
from axolotl.data.tokenize import SegmentBatch, tokenize
from axolotl.formats import bind


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


def test_the_format_of_the_first_entry_is_the_one_to_ask_in(tokenizer: Any) -> None:
    entries = [{"path": "x", "type": "alpaca:chat"}, {"path": "y", "type": "completion"}]
    options = load_config({"base_model": "m", "datasets": entries})
    bound = format_of_first_entry(options, Encoder(tokenizer))
    assert bound is not None
    assert bound.type == "alpaca:chat"
    tokens = load_config({"base_model": "m", "datasets": [{"path": "x", "type": None}]})
    assert format_of_first_entry(tokens, Encoder(tokenizer)) is None
