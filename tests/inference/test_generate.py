"""Answers: the same streamed, alone and in a batch; and those of what was trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from axolotl import api
from axolotl.core import console
from axolotl.errors import ConfigError, DataError, ModelError
from axolotl.formats import bind
from axolotl.inference.generate import Generator
from axolotl.inference.opening import open_generator
from axolotl.inference.options import GenerationOptions
from axolotl.records import Segment
from tests.artifacts.made import random_adapter
from tests.conftest import build_llama

QUESTIONS = ["Name three colours.", "Is that so?", "x", "Write a response to the quick brown fox."]
GREEDY = {"temperature": 0.0, "max_new_tokens": 20}


def options_with(max_new_tokens: int) -> GenerationOptions:
    return GenerationOptions(temperature=0, max_new_tokens=max_new_tokens)


def generator(tokenizer: Any, model: Any = None, **options: Any) -> Generator:
    return Generator(
        model or build_llama(eos_token_id=500, initializer_range=0.3),
        tokenizer,
        bound=bind("alpaca"),
        options=GenerationOptions.of(**(GREEDY | options)),
    )


def test_an_answer_is_what_a_plain_loop_gives(tokenizer: Any) -> None:
    model = build_llama(eos_token_id=500, initializer_range=0.3)
    ours = generator(tokenizer, model)
    ids = ours.prompt_ids(QUESTIONS[0])
    start = len(ids)
    for _ in range(20):
        with torch.no_grad():
            logits = model(torch.tensor([ids]), use_cache=False).logits
        ids.append(int(logits[0, -1].argmax()))
        if ids[-1] in (2, 500):
            break
    assert ours.answer(QUESTIONS[0]) == tokenizer.decode(ids[start:], skip_special_tokens=True)


@pytest.mark.parametrize("with_bos", [False, True], ids=["plain", "bos"])
def test_streamed_alone_and_in_a_batch_the_answer_is_the_same(
    tokenizer: Any, bos_tokenizer: Any, with_bos: bool
) -> None:
    ours = generator(bos_tokenizer if with_bos else tokenizer)
    streamed = [list(ours.stream(text)) for text in QUESTIONS]
    alone = ["".join(pieces) for pieces in streamed]
    assert max(map(len, streamed)) > 3, "it did not come in pieces"
    assert len(set(alone)) == len(QUESTIONS)
    assert ours.answers(QUESTIONS) == alone
    assert ours.answers(QUESTIONS * 5) == alone * 5
    assert ours.answers([]) == []


def test_the_prompt_is_computed_once(tokenizer: Any) -> None:
    model = build_llama()
    model.config.use_cache = False  # as models are opened for training
    seen: list[int] = []
    model.model.embed_tokens.register_forward_hook(
        lambda _, inputs, __: seen.append(inputs[0].shape[1])
    )
    ours = generator(tokenizer, model, max_new_tokens=6)
    ours.answer("Is that so?")
    assert seen[0] == len(ours.prompt_ids("Is that so?"))
    assert set(seen[1:]) <= {1}


def test_an_answer_ends_with_the_end_token(tokenizer: Any) -> None:
    model = build_llama(eos_token_id=500, initializer_range=0.3)
    free = generator(tokenizer, model)
    prompt = free.prompt_ids("x")
    whole = free.answer("x")
    assert free.cut
    out = model.generate(torch.tensor([prompt]), max_new_tokens=5, do_sample=False)
    before, third = out[0, len(prompt) :].tolist()[:2], int(out[0, len(prompt) + 2])
    assert third not in before
    # An end that the model's folder names besides the tokenizer's own.
    model.generation_config.eos_token_id = [2, third]
    ends = generator(tokenizer, model)
    short = ends.answer("x")
    assert short == tokenizer.decode(before)
    assert whole.startswith(short)
    assert len(whole) > len(short)
    assert not ends.cut
    assert ends.answers(["x", "Is that so?"])[0] == short


def test_a_cut_answer_is_as_long_as_allowed(tokenizer: Any) -> None:
    ours = generator(tokenizer, build_llama(eos_token_id=500), max_new_tokens=4)
    model_tokens: list[int] = []
    ours._model.register_forward_hook(lambda *_: model_tokens.append(1))  # pyright: ignore[reportPrivateUsage]
    ours.answer("x")
    assert ours.cut
    assert len(model_tokens) == 4


def test_sampling_follows_the_seed_and_leaves_the_outer_one_alone(tokenizer: Any) -> None:
    def twice(seed: int, **options: Any) -> list[str]:
        ours = generator(tokenizer, temperature=1.5, seed=seed, **options)
        return [ours.answer("x"), ours.answer("x")]

    before = torch.random.get_rng_state()
    first = twice(1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert twice(1) == first
    assert first[0] != first[1], "the same question may have another answer the second time"
    assert twice(2) != first
    assert twice(1, top_k=1) == [generator(tokenizer, repetition_penalty=1.1).answer("x")] * 2


def test_options_are_live(tokenizer: Any) -> None:
    plain = generator(tokenizer).answer("x")
    assert generator(tokenizer, repetition_penalty=5.0).answer("x") != plain
    model = build_llama(eos_token_id=500, initializer_range=0.3)
    model.generation_config.repetition_penalty = 5.0
    model.generation_config.no_repeat_ngram_size = 1
    assert generator(tokenizer, model).answer("x") == plain, (
        "the folder's suggestions do not mix in"
    )


def test_prompt_and_answer_stay_within_the_models_positions(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(console, "note", said.append)
    monkeypatch.setattr(console, "_said", set())
    model = build_llama(max_position_embeddings=64, eos_token_id=500)
    ours = generator(tokenizer, model, max_new_tokens=1000)
    ours.bound = None
    pieces = "".join(ours.stream("Name three colours, "))
    assert ours.cut
    assert ours.full
    room = 64 - len(ours.prompt_ids("Name three colours, "))
    told = f"cut after {room} tokens: prompt and answer fill the model's 64 positions"
    assert ours.why_cut == told
    for most, full in ((room - 1, False), (room, True)):
        "".join(ours.stream("Name three colours, ", options=options_with(most)))
        assert (ours.tokens, ours.cut, ours.full) == (most, True, full)
    assert len(tokenizer(pieces)["input_ids"]) <= 64
    assert "model's 64 positions" in said[0]
    with pytest.raises(DataError, match="the model only 64 positions"):
        ours.answer("0 1 2 3 4 " * 20)


@pytest.mark.parametrize("apart", [None, "by the library"])
def test_answers_of_a_batch_say_which_limit_cut_them(tokenizer: Any, apart: str | None) -> None:
    ours = generator(tokenizer, build_llama(max_position_embeddings=64, eos_token_id=500))
    vars(ours)["apart"] = apart
    made = ours.batch_ids([[5] * 40, [7] * 44], options_with(20), numbers=[0, 1])
    assert [(one.tokens, one.cut, one.full) for one in made] == [
        (20, True, False),
        (20, True, True),
    ]


def test_a_far_too_long_prompt_is_refused_by_its_beginning(tokenizer: Any) -> None:
    ours = generator(tokenizer, build_llama(max_position_embeddings=64))
    encode, characters = ours.segment_ids, list[int]()

    def segment_ids(prompt: Any) -> list[int]:
        characters.append(sum(len(segment.text) for segment in prompt))
        return encode(prompt)

    vars(ours)["segment_ids"] = segment_ids
    with pytest.raises(DataError, match="has more than 64 tokens, and the model only 64 positions"):
        ours.read([Segment("0 1 2 3 " * 10**6, False)])
    assert characters == [8 * 64]
    with pytest.raises(DataError, match="has 80 tokens, and the model only 64 positions"):
        ours.read([Segment("0 " * 40, False)])
    assert ours.read([Segment("0 1", False)]) == tokenizer("0 1")["input_ids"]


def test_padding_behind_a_stop_text_is_no_part_of_an_answer(tokenizer: Any) -> None:
    ours = generator(tokenizer)
    vars(ours)["apart"] = "by the library"
    ids = [ours.prompt_ids(text) for text in QUESTIONS[:3]]
    whole = ours.answers(QUESTIONS[:3])
    how = replace(ours.options, stop=(whole[0][4:6], whole[1][9:11]))

    def facts(prompts: list[list[int]]) -> list[tuple[str, int, bool]]:
        made = ours.batch_ids(prompts, how, numbers=range(len(prompts)))
        return [(one.text, one.tokens, one.cut) for one in made]

    together = facts(ids)
    assert together == [facts([one])[0] for one in ids]
    assert len({tokens for _, tokens, _ in together}) > 1, "they do not end together"


def test_an_empty_prompt_is_refused(tokenizer: Any) -> None:
    ours = generator(tokenizer)
    ours.bound = None
    with pytest.raises(DataError, match="the prompt is empty"):
        ours.answer("")


def options_of(tmp_path: Path, base: Path, **changes: Any) -> dict[str, Any]:
    return {
        "base_model": str(base),
        "datasets": [{"path": str(tmp_path / "rows.jsonl"), "type": "alpaca"}],
        "output_dir": str(tmp_path / "out"),
    } | changes


@pytest.fixture
def adapter(tiny_model: Path, tokenizer: Any, tmp_path: Path) -> Path:
    from transformers import AutoModelForCausalLM

    random_adapter(AutoModelForCausalLM.from_pretrained(tiny_model), tmp_path / "out", scale=0.3)
    tokenizer.save_pretrained(tmp_path / "out")
    (tmp_path / "rows.jsonl").write_text('{"instruction": "a", "output": "b"}\n' * 4)
    return tmp_path / "out"


def test_the_adapter_answers_and_the_base_when_asked(
    adapter: Path, tiny_model: Path, tmp_path: Path
) -> None:
    settings = options_of(tmp_path, tiny_model, adapter="lora")
    trained = api.generate(settings, QUESTIONS, **GREEDY)
    base = api.generate(settings, QUESTIONS, base=True, **GREEDY)
    assert trained != base
    plain = options_of(tmp_path, tiny_model, output_dir=str(tiny_model))
    assert api.generate(plain, QUESTIONS, **GREEDY) == base
    api.merge(settings)
    merged = api.generate(settings, QUESTIONS, merged=True, **GREEDY)
    assert merged == trained
    asked = api.generate(settings, QUESTIONS, prompter="none", **GREEDY)
    assert asked != trained


def test_the_format_of_the_run_is_asked(adapter: Path, tiny_model: Path, tmp_path: Path) -> None:
    (adapter / "run.json").write_text(json.dumps({"format": {"type": "alpaca:chat"}}))
    resolved = api.resolved(options_of(tmp_path, tiny_model, adapter="lora"))
    trained, base = open_generator(resolved), open_generator(resolved, base=True)
    assert trained.bound is not None
    assert trained.bound.type == "alpaca:chat"
    assert base.bound is not None
    assert base.bound.type == "alpaca", "nothing was trained there, the file decides"


def test_what_is_not_there_is_said(tiny_model: Path, tmp_path: Path) -> None:
    settings = options_of(tmp_path, tiny_model, adapter="lora")
    with pytest.raises(ModelError, match="no adapter in"):
        api.generate(settings, ["x"])
    with pytest.raises(ModelError, match=r"no trained model in .*merged'"):
        api.generate(settings, ["x"], merged=True)
    with pytest.raises(ConfigError, match="did you mean max_new_tokens"):
        api.generate(settings, ["x"], max_tokens=3)


def test_a_model_answers_what_it_was_taught(
    tiny_options: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    facts = {"Colour of grass?": "green, of course", "Colour of snow?": "white é 雪"}
    rows = [{"instruction": q, "output": a} for q, a in facts.items()]
    (tmp_path / "facts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    settings = tiny_options(
        datasets=[{"path": str(tmp_path / "facts.jsonl"), "type": "alpaca"}],
        val_set_size=0,
        num_epochs=60,
        learning_rate=5e-3,
        save_strategy="no",
        logging_steps=50,
    )
    api.train(settings)
    ours = open_generator(api.resolved(settings), temperature=0, max_new_tokens=40)
    assert ours.answers(list(facts)) == list(facts.values())
    for question, answer in facts.items():
        assert ours.answer(question) == answer
        assert not ours.cut
