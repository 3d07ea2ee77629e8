"""Prompts answered together have the answers that they have alone, on every architecture."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from axolotl.core import console
from axolotl.formats import bind
from axolotl.inference.generate import Generator
from axolotl.inference.options import GenerationOptions
from axolotl.inference.padding import answers_alike_with_padding, batches_of
from axolotl.models.tiny import tiny_model
from tests.conftest import build_llama
from tests.support.rows import rows

QUESTIONS = ["Name three colours.", "x", "Is that so?", "0 1 2 3 4 5 6 7 8 9 " * 2, "y"]
QUICK = ("llama", "gpt2", "mpt", "falcon, alibi", "mamba2", "recurrent_gemma", "btlm", "gemma2")
"""Positions that are turned, learned and biased, windows, states, and no positions at all."""


def generator(model: Any, tokenizer: Any, **options: Any) -> Generator:
    how = GenerationOptions.of(**({"temperature": 0, "max_new_tokens": 20} | options))
    return Generator(model, tokenizer, bound=None, options=how)


def answers_apart(ours: Generator, numbers: list[int]) -> list[str]:
    ids = [ours.prompt_ids(text) for text in QUESTIONS]
    return [
        ours.batch_ids([one], ours.options, numbers=[number])[0].text
        for one, number in zip(ids, numbers, strict=True)
    ]


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in rows()]
)
def test_together_and_alone_the_answers_are_the_same(tokenizer: Any, name: str) -> None:
    row = rows()[name]
    model = tiny_model(row.model_type, changes=row.changes)
    ours = generator(model, tokenizer)
    alone = [ours.answer(text) for text in QUESTIONS]
    assert ours.answers(QUESTIONS) == alone
    assert len(set(alone)) > 1
    assert answers_alike_with_padding(model, 0), "it was found by padding, not by doing without"


def test_drawn_answers_are_the_same_too(tokenizer: Any) -> None:
    numbers = [3, 1, 4, 5, 9]
    ours = generator(build_llama(initializer_range=0.3), tokenizer, temperature=1.5, seed=6)
    together = ours.batch_ids(
        [ours.prompt_ids(text) for text in QUESTIONS], ours.options, numbers=numbers
    )
    alone = answers_apart(ours, numbers)
    assert [answer.text for answer in together] == alone
    assert answers_apart(ours, [30, 10, 40, 50, 90]) != alone


def test_a_state_without_a_mask(tokenizer: Any) -> None:
    model = tiny_model("rwkv")
    assert not answers_alike_with_padding(model, 0)
    ours = generator(model, tokenizer, max_new_tokens=6)
    assert ours.answers(QUESTIONS) == [ours.answer(text) for text in QUESTIONS]


class Deaf(torch.nn.Module):
    """A model that does not look at the mask, as some with a state do not."""

    def __init__(self) -> None:
        super().__init__()
        self.inner: Any = build_llama(initializer_range=0.3)
        plain = self.inner.forward
        self.inner.forward = lambda *a, attention_mask=None, position_ids=None, **k: plain(*a, **k)

    def forward(self, **given: Any) -> Any:
        return self.inner.forward(**given)

    def __getattr__(self, name: str) -> Any:
        return super().__getattr__(name) if name == "inner" else getattr(self.inner, name)


def test_a_model_that_padding_disturbs_is_asked_one_prompt_at_a_time(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(console, "note", said.append)
    monkeypatch.setattr(console, "_said", set())
    model = Deaf()
    assert not answers_alike_with_padding(model, 0)
    ours = generator(model, tokenizer)
    alone = [ours.answer(text) for text in QUESTIONS]
    assert ours.answers(QUESTIONS) == alone
    assert "one at a time" in said[0]
    assert ours.batches([2, 1, 2], 8) == [[1], [0], [2]]


def test_a_long_prompt_does_not_cut_the_answers_of_others(tokenizer: Any) -> None:
    model = build_llama(max_position_embeddings=80, eos_token_id=500, initializer_range=0.3)
    ours = generator(model, tokenizer, max_new_tokens=50)
    assert max(len(ours.prompt_ids(text)) for text in QUESTIONS) > 31
    alone = [ours.answer(text) for text in QUESTIONS]
    assert ours.answers(QUESTIONS) == alone


@pytest.mark.parametrize("stop", [["e"], ["re", "o"], ["nowhere at all"]])
def test_stop_texts_end_the_same_alone_and_together(tokenizer: Any, stop: list[str]) -> None:
    model = build_llama(eos_token_id=500, initializer_range=0.3)
    free = [generator(model, tokenizer).answer(text) for text in QUESTIONS]
    ours = generator(model, tokenizer, stop=stop)
    alone = [ours.answer(text) for text in QUESTIONS]
    assert ours.answers(QUESTIONS) == alone
    cut = [
        min(text.find(s) for s in stop if s in text) if any(s in text for s in stop) else None
        for text in free
    ]
    assert alone == [text[:place] for text, place in zip(free, cut, strict=True)]
    assert stop[0] == "nowhere at all" or alone != free


def test_a_batch_says_of_each_answer_whether_it_was_cut(tokenizer: Any) -> None:
    model = build_llama(eos_token_id=500, initializer_range=0.3)
    ours = generator(model, tokenizer, max_new_tokens=6)
    ids = [ours.prompt_ids(text) for text in QUESTIONS[:2]]
    made = ours.batch_ids(ids, ours.options, numbers=[0, 1])
    assert [(answer.tokens, answer.cut) for answer in made] == [(6, True)] * 2
    stop = made[0].text[1:3]
    how = GenerationOptions.of(temperature=0, max_new_tokens=6, stop=[stop])
    assert not ours.batch_ids(ids, how, numbers=[0, 1])[0].cut


def test_batches_hold_every_prompt_once() -> None:
    lengths = [5, 1, 9, 5, 2, 9, 5]
    for room in (None, 4):
        found = batches_of(lengths, most=2, room_tokens=room)
        assert sorted(i for batch in found for i in batch) == list(range(7))
        assert max(map(len, found)) <= 2
        for batch in found:
            widths = {lengths[i] for i in batch}
            assert len(widths) == 1 or room is None or max(widths) <= room


def test_the_base_answers_under_its_adapter(tokenizer: Any) -> None:
    from peft import LoraConfig, get_peft_model

    plain = build_llama(initializer_range=0.3)
    question = [{"role": "user", "content": "Name three colours."}]
    base = generator(plain, tokenizer)
    wanted = base.answer("Name three colours.")
    assert not base.has_adapter
    wrapped = get_peft_model(
        plain, LoraConfig(init_lora_weights=False, target_modules="all-linear")
    )
    ours = Generator(wrapped, tokenizer, bound=bind("completion"), options=base.options)
    assert ours.has_adapter
    assert "".join(ours.stream(question, base=True)) == wanted
    trained = "".join(ours.stream(question))
    assert trained != wanted
    assert "".join(ours.stream(question, base=True)) == wanted
    assert "".join(ours.stream(question)) == trained
