"""Rows that come and go have the answers that the library gives them alone, on every architecture."""

from __future__ import annotations

import random
import weakref
from typing import Any

import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from transformers import LlamaForCausalLM

from axolotl.inference import columns
from axolotl.inference.generate import Generator
from axolotl.inference.joining import turned_by_length, why_not_join
from axolotl.inference.making import Row
from axolotl.inference.options import GenerationOptions
from axolotl.inference.padding import answers_alike_with_padding
from axolotl.inference.together import PREFILL_TOKENS, answer_all, prefill_groups
from axolotl.models.tiny import tiny_model
from tests.conftest import build_llama
from tests.support.rows import rows

QUICK = ("llama", "gpt2", "mpt", "falcon, alibi", "gemma2", "qwen2, window", "deepseek_v2")
"""Positions that are turned, learned and biased, windows that the answers outgrow, compressed keys."""
STATES = ("mamba", "mamba2", "recurrent_gemma")
TEXTS = ["Name three colours.", "x", "Is that so?", "0 1 2 3 4 5 6 7 8 9 " * 2, "y", "A b c d e"]
OPTIONS: list[dict[str, Any]] = [
    {"max_new_tokens": 25},
    {"temperature": 1.5, "seed": 7, "max_new_tokens": 12},
    {"max_new_tokens": 1},
    {"repetition_penalty": 1.5},
    {"temperature": 0.7, "top_p": 0.6, "top_k": 5, "seed": -3, "max_new_tokens": 30},
    {"temperature": 2.0, "min_p": 0.01, "repetition_penalty": 0.8},
]


def generator(model: Any, tokenizer: Any) -> Generator:
    return Generator(model, tokenizer, bound=None)


def options(**given: Any) -> GenerationOptions:
    return GenerationOptions.of(**({"temperature": 0, "max_new_tokens": 20} | given))


def alone(ours: Generator, row: Row) -> tuple[str, int, bool]:
    text = "".join(ours.stream_ids(row.ids, row.options))
    return text, ours.tokens, ours.cut


def all_rows(ours: Generator) -> list[Row]:
    return [
        ours.row(ours.prompt_ids(text), options(**how))
        for text, how in zip(TEXTS, OPTIONS, strict=True)
    ]


def made_of(row: Row) -> tuple[str, int, bool]:
    answer = row.answer()
    return answer.text, answer.tokens, answer.cut


def come_and_go(ours: Generator, waiting: list[Row], chance: random.Random) -> list[int]:
    """Answer rows that begin at any time; how many there were at each step."""
    engine, running, sizes = ours.engine(4), list[Row](), list[int]()
    while waiting or running:
        made = engine.step() if running else []
        sizes.append(len(running))
        while waiting and len(running) < 4 and (not running or chance.random() < 0.3):
            row = waiting.pop()
            made += engine.join([row])
            running.append(row)
        for row, token in made:
            row.add(token)
        running = [row for row in running if not row.making.ended]
        engine.leave([row for row, _ in made if row.making.ended])
    return sizes


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow)
        for n in rows()
        if n not in STATES
    ],
)
def test_rows_that_come_and_go_are_answered_as_alone(tokenizer: Any, name: str) -> None:
    row = rows()[name]
    model = tiny_model(row.model_type, changes=row.changes)
    ours = generator(model, tokenizer)
    assert ours.apart is None
    found = all_rows(ours)
    sizes = come_and_go(ours, found[::-1], random.Random(3))
    assert max(sizes) > 2, "they did not meet"
    assert [made_of(one) for one in found] == [alone(ours, one) for one in found]


@pytest.mark.parametrize("seed", range(2))
def test_they_meet_in_any_order(tokenizer: Any, seed: int) -> None:
    ours = generator(build_llama(initializer_range=0.3, sliding_window=9), tokenizer)
    found = all_rows(ours) + all_rows(ours)
    chance = random.Random(seed)
    waiting = chance.sample(found, len(found))
    come_and_go(ours, waiting, chance)
    assert [made_of(one) for one in found] == [alone(ours, one) for one in found]


@pytest.mark.parametrize("places", [1, 3, 20])
def test_all_are_answered_however_many_places_there_are(tokenizer: Any, places: int) -> None:
    model = build_llama(initializer_range=0.3, eos_token_id=500)
    get_peft_model(model, LoraConfig(r=4, init_lora_weights=False))
    ours = generator(model, tokenizer)
    passes: list[int] = []
    model.model.embed_tokens.register_forward_hook(
        lambda _, inputs, __: passes.append(len(inputs[0]))
    )
    assert ours.apart is None
    found = all_rows(ours)
    passes.clear()
    answer_all(ours.engine(places), found)
    assert max(passes) == min(places, len(found))
    assert len(passes) < sum(one.making.tokens for one in found) or places == 1
    assert [made_of(one) for one in found] == [alone(ours, one) for one in found]


def test_stops_and_ends_of_one_row_do_not_end_the_others(tokenizer: Any) -> None:
    model = build_llama(initializer_range=0.3, eos_token_id=500)
    free = generator(model, tokenizer)
    whole = "".join(free.stream_ids(free.prompt_ids(TEXTS[0]), options(max_new_tokens=40)))
    stop = whole[12:15]
    found = [
        free.row(free.prompt_ids(TEXTS[0]), options(max_new_tokens=40, stop=stop)),
        free.row(free.prompt_ids(TEXTS[0]), options(max_new_tokens=40)),
        free.row(free.prompt_ids(TEXTS[2]), options(stop=["nowhere", "at all"])),
    ]
    answer_all(free.engine(3), found)
    assert found[0].answer().text == whole[: whole.find(stop)]
    assert not found[0].answer().cut
    assert found[1].answer().text == whole
    assert [made_of(one) for one in found] == [alone(free, one) for one in found]


def test_each_row_has_all_positions_of_the_model(tokenizer: Any) -> None:
    model = build_llama(initializer_range=0.3, eos_token_id=500, max_position_embeddings=64)
    ours = generator(model, tokenizer)
    assert ours.apart is None
    widest: list[int] = []
    hook = model.register_forward_pre_hook(
        lambda _, __, given: widest.append(given["attention_mask"].shape[1]), with_kwargs=True
    )
    texts = ["x", "0 1 2 3 4 5 6 7 8 9 " * 2, "Is that so?"]
    found = [ours.row(ours.prompt_ids(t), options(max_new_tokens=1000)) for t in texts]
    lengths = [len(one.ids) for one in found]
    answer_all(ours.engine(3), found)
    hook.remove()
    assert [length + one.making.tokens for length, one in zip(lengths, found, strict=True)] == [
        64
    ] * 3
    assert max(widest) <= 64, "columns that nobody needs any more are cut off"
    assert [made_of(one) for one in found] == [alone(ours, one) for one in found]


def test_a_row_that_fails_leaves_the_others_as_they_were(tokenizer: Any) -> None:
    model = build_llama(initializer_range=0.3)
    ours = generator(model, tokenizer)
    good = ours.row(ours.prompt_ids(TEXTS[0]), options())
    bad = ours.row(ours.prompt_ids("0 1 2 3 4 5 6 7 8 9 " * 3), options())
    engine = ours.engine(2)
    good.add(engine.join([good])[0][1])

    def too_long(_: Any, __: Any, given: Any) -> None:
        if given["input_ids"].shape[1] == len(bad.ids):
            raise MemoryError("too long")

    model.register_forward_pre_hook(too_long, with_kwargs=True)
    with pytest.raises(MemoryError, match="too long"):
        engine.join([bad])
    while not good.making.ended:
        ((row, token),) = engine.step()
        assert row is good
        good.add(token)
    assert made_of(good) == alone(ours, good)


def test_prompts_are_read_in_passes_of_bounded_size(tokenizer: Any) -> None:
    ours = generator(build_llama(max_position_embeddings=10_000), tokenizer)
    lengths = [3, PREFILL_TOKENS + 5, 40, PREFILL_TOKENS // 2, 7, PREFILL_TOKENS // 2]
    found = [ours.row([5] * length, options()) for length in lengths]
    groups = [[len(row.ids) for row in group] for group in prefill_groups(found)]
    assert sorted(n for group in groups for n in group) == sorted(lengths)
    assert groups == [[3, 7, 40], [PREFILL_TOKENS // 2] * 2, [PREFILL_TOKENS + 5]]
    assert list(prefill_groups([])) == []


@pytest.mark.parametrize("name", STATES)
def test_a_state_cannot_be_joined(name: str) -> None:
    assert why_not_join(tiny_model(name), 0) == "it remembers by a state"


def test_what_a_short_trial_cannot_see_is_asked_of_the_configuration() -> None:
    model = build_llama()
    assert why_not_join(model, 0) is None
    adapted = get_peft_model(
        build_llama(), PromptTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM")
    )
    assert why_not_join(adapted, 0) == "its adapter stands before each prompt"
    turned = build_llama(rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4})
    assert why_not_join(turned, 0) == "its rotary positions depend on the longest prompt"
    assert turned_by_length(turned.config)
    assert not turned_by_length(model.config)


def test_a_model_that_does_not_look_at_the_mask_is_found_out() -> None:
    model = build_llama(initializer_range=0.3)
    plain = model.forward

    def deaf(
        input_ids: Any, attention_mask: Any = None, past_key_values: Any = None, **more: Any
    ) -> Any:
        return plain(input_ids, past_key_values=past_key_values, **more)

    model.forward = deaf
    assert why_not_join(model, 0) == "padding disturbs it"


def test_a_model_that_would_end_its_trial_is_not_called_disturbed() -> None:
    model = build_llama(initializer_range=0.3)
    likeliest: set[int] = set()
    hook = model.register_forward_hook(
        lambda _, __, output: likeliest.update(output.logits[:, -1].argmax(-1).tolist())
    )
    assert why_not_join(model, 0) is None
    hook.remove()
    assert len(likeliest) > 3
    for end in likeliest:
        model.generation_config.eos_token_id = [end]
        assert why_not_join(model, 0) is None, end


def coarse(_: Any, __: Any, given: dict[str, Any], output: Any) -> None:
    """What a model tells in company is one step of bf16 off."""
    if len(given.get("attention_mask", ())) > 1:
        turns = 1 - 2.0 * (torch.arange(output.logits.shape[-1]) % 2)
        output.logits *= 1 + turns * 2**-7


@pytest.mark.parametrize("seed", range(3))
def test_what_half_precision_rounds_is_not_called_disturbed(seed: int) -> None:
    torch.manual_seed(seed)
    model = LlamaForCausalLM(build_llama(initializer_range=0.3).config).eval()
    model.register_forward_hook(coarse, with_kwargs=True)
    assert not answers_alike_with_padding(model, 0), "fp32 is not so coarse"
    model.bfloat16()
    assert why_not_join(model, 0) is None
    assert answers_alike_with_padding(model, 0)


def undecided(_: Any, __: Any, given: dict[str, Any], output: Any) -> None:
    """Which of two tokens is a little likelier depends on the company."""
    last = output.logits[:, -1]
    best = last.topk(2)
    order = best.indices if len(given.get("attention_mask", ())) > 1 else best.indices.flip(1)
    last.scatter_(1, order, best.values[:, :1] * torch.tensor([[1.0, 0.999]]))


def test_a_choice_that_rounding_turns_is_not_called_a_disturbance() -> None:
    model = build_llama(initializer_range=0.3)
    model.register_forward_hook(undecided, with_kwargs=True)
    assert why_not_join(model, 0) is None
    assert answers_alike_with_padding(model, 0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_model_that_does_not_look_at_the_mask_is_found_out_in_half_precision_too(
    dtype: torch.dtype,
) -> None:
    model = build_llama(initializer_range=0.3).to(dtype)
    assert why_not_join(model, 0) is None
    assert answers_alike_with_padding(model, 0)
    plain = model.forward

    def deaf(
        input_ids: Any, attention_mask: Any = None, past_key_values: Any = None, **more: Any
    ) -> Any:
        more.pop("position_ids", None)
        return plain(input_ids, past_key_values=past_key_values, **more)

    model.forward = deaf
    assert why_not_join(model, 0) == "padding disturbs it"
    assert not answers_alike_with_padding(model, 0)


def test_positions_turned_by_length_are_asked_one_at_a_time(tokenizer: Any) -> None:
    model = build_llama(
        initializer_range=0.3,
        max_position_embeddings=24,
        rope_parameters={"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4},
    )
    ours = Generator(model, tokenizer, bound=None, options=options(max_new_tokens=30))
    assert [len(batch) for batch in ours.batches([3, 3], 8)] == [1, 1]
    answers = ours.answers(TEXTS)
    assert answers == [ours.answer(text) for text in TEXTS]
    assert torch.is_grad_enabled()


def test_memory_that_runs_out_while_a_row_leaves_ends_the_rows_but_not_the_engine(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = generator(build_llama(initializer_range=0.3), tokenizer)
    engine = ours.engine(2)
    found = all_rows(ours)
    engine.join(found[:2])
    layers: list[Any] = []
    how_many = columns._kept  # pyright: ignore[reportPrivateUsage]

    def full(layer: Any, width: int) -> int:
        layers.append(layer)
        if len(layers) == 2:
            raise MemoryError("no room")
        return how_many(layer, width)

    monkeypatch.setattr(columns, "_kept", full)
    with pytest.raises(MemoryError, match="no room"):
        engine.leave(found[:1])
    monkeypatch.undo()
    for made in (engine.join([found[2]]), engine.step()):
        assert [row for row, _ in made] == [found[2]], "nobody else is there any more"
    engine.leave([found[2]])
    answer_all(engine, found[3:])
    assert [made_of(one) for one in found[3:]] == [alone(ours, one) for one in found[3:]]


def test_a_row_that_leaves_frees_its_memory_layer_by_layer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = build_llama()
    ids = torch.randint(100, (3, 20))
    with torch.no_grad():
        cache = model(input_ids=ids, use_cache=True).past_key_values
    wanted = [layer.keys[[2, 0], :, -6:].clone() for layer in cache.layers]
    before = weakref.ref(cache.layers[0].keys)
    there: list[bool] = []
    how_many = columns._kept  # pyright: ignore[reportPrivateUsage]

    def kept(layer: Any, width: int) -> int:
        there.append(before() is not None)
        return how_many(layer, width)

    monkeypatch.setattr(columns, "_kept", kept)
    columns.keep(cache, [2, 0], 6)
    assert there == [True, False], "the first layer's was given back before the second was copied"
    for layer, keys in zip(cache.layers, wanted, strict=True):
        assert torch.equal(layer.keys, keys)
        for states in (layer.keys, layer.values):
            assert states.untyped_storage().nbytes() == states.numel() * states.element_size()
