"""A Llama that tells its attention where the landmarks are, in rows, under checkpointing and in answers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, DynamicCache, GenerationConfig

from axolotl.errors import ModelError
from axolotl.models.isolation import why_not_isolated, why_not_served
from axolotl.models.native.landmark import Landmarks, landmarks_of, settle_landmarks
from axolotl.models.native.landmark.answers import LandmarkAnswers
from tests.conftest import build_llama

TOKEN = 7


def with_landmarks(**changes: Any) -> Any:
    model = build_llama()
    settle_landmarks(model, Landmarks(TOKEN, **({"block_tokens": 9} | changes)))
    model.set_attn_implementation("landmark")
    return model


def ids_of(tokens: int, *, seed: int = 0, every: int = 10) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(8, 500, (1, tokens), generator=generator)
    ids[0, every - 1 :: every] = TOKEN
    return ids


@torch.no_grad()
def test_without_landmarks_the_model_is_as_it_was() -> None:
    ids = torch.randint(8, 500, (1, 40))
    torch.testing.assert_close(with_landmarks()(ids).logits, build_llama()(ids).logits)


@torch.no_grad()
def test_landmarks_change_what_a_later_block_reads() -> None:
    model, ids = with_landmarks(), ids_of(40)
    found = model(ids).logits
    model.set_attn_implementation("sdpa")
    plain = model(ids).logits
    torch.testing.assert_close(found[:, :9], plain[:, :9])
    assert (found[:, 10:] - plain[:, 10:]).abs().max() > 1e-4


def test_documents_of_a_row_are_apart_and_it_computes_what_eager_does() -> None:
    model = with_landmarks()
    assert why_not_served(model) is None
    assert why_not_isolated(model) is None


@torch.no_grad()
def test_packed_samples_are_as_alone() -> None:
    model = with_landmarks()
    first, second = ids_of(33, seed=1), ids_of(25, seed=2)
    positions = torch.cat([torch.arange(33), torch.arange(25)])[None]
    row = torch.cat([first, second], dim=1)
    together = model(row, position_ids=positions, use_cache=False).logits
    torch.testing.assert_close(together[:, :33], model(first).logits)
    torch.testing.assert_close(together[:, 33:], model(second).logits)


@pytest.mark.parametrize("reentrant", [True, False])
def test_layers_that_are_computed_again_see_the_same_landmarks(reentrant: bool) -> None:
    def gradients(*, again: bool) -> list[Tensor]:
        model = with_landmarks().train()
        if again:
            model.activation_checkpointing_enable({"use_reentrant": reentrant})
            model.enable_input_require_grads()
        loss = model(ids_of(40), use_cache=False).logits.square().mean()
        with torch.no_grad():  # another pass in between must not be what is seen
            model.eval()(ids_of(30, every=6), use_cache=False)
        model.train()
        loss.backward()
        return [weight.grad for weight in model.parameters()]

    for found, wanted in zip(gradients(again=True), gradients(again=False), strict=True):
        torch.testing.assert_close(found, wanted)


@torch.no_grad()
def through_the_cache(model: Any, ids: Tensor, prompt: int) -> Tensor:
    cache = DynamicCache(config=model.config)
    parts = [model(ids[:, :prompt], past_key_values=cache, use_cache=True).logits]
    for at in range(prompt, ids.shape[1]):
        parts.append(model(ids[:, at : at + 1], past_key_values=cache, use_cache=True).logits)
    return torch.cat(parts, dim=1)


def test_with_a_cache_all_blocks_give_what_the_whole_pass_gives() -> None:
    ids = ids_of(60)
    model = with_landmarks(window_blocks=1, top_blocks=6)
    wanted = model(ids).logits
    torch.testing.assert_close(through_the_cache(model, ids, 27), wanted)
    few = through_the_cache(with_landmarks(window_blocks=1, top_blocks=1), ids, 27)
    torch.testing.assert_close(few[:, :20], wanted[:, :20])
    assert (few[:, 30:] - wanted[:, 30:]).abs().max() > 1e-4


@torch.no_grad()
def test_a_cache_that_began_without_landmarks_is_refused() -> None:
    model = with_landmarks()
    cache = model(ids_of(20), use_cache=True).past_key_values
    with pytest.raises(ModelError, match="cache holds 20 tokens, and landmarks are known of 0"):
        model(ids_of(1), past_key_values=cache)


def test_embeddings_in_place_of_tokens_are_refused() -> None:
    with pytest.raises(ModelError, match="needs the tokens themselves"):
        with_landmarks()(inputs_embeds=torch.zeros(1, 4, 64))


def generated(model: Any, prompts: list[list[int]], new: int) -> list[list[int]]:
    answers = LandmarkAnswers(model)
    prompts = [answers.prompt(prompt) for prompt in prompts]
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    how = GenerationConfig(
        max_new_tokens=answers.tokens_for(prompts, new), do_sample=False, pad_token_id=0
    )
    with torch.no_grad():
        found = model.generate(
            input_ids=ids,
            attention_mask=mask,
            generation_config=how,
            **answers.library_options(mask),
        )
    return [
        row[at:] for row, at in zip(found.tolist(), (width - len(p) for p in prompts), strict=True)
    ]


def test_generated_tokens_have_landmarks_at_their_places() -> None:
    model = with_landmarks()
    short, long = list(range(20, 24)), list(range(30, 43))
    rows = generated(model, [short, long], 25)
    for row, prompt in zip(rows, (short, long), strict=True):
        places = [at for at, token in enumerate(row) if token == TOKEN]
        assert places == list(range(9, len(row), 10))
        assert [token for token in row if token != TOKEN][: len(prompt)] == prompt
    (alone,) = generated(model, [long], 25)
    assert rows[1][: len(alone)] == alone
    assert len(LandmarkAnswers(model).answer(alone)) == len(long) + 25


def test_an_answer_through_the_cache_is_that_of_whole_passes() -> None:
    model = with_landmarks(window_blocks=1, top_blocks=9)
    (found,) = generated(model, [list(range(20, 33))], 30)
    logits = model(torch.tensor([found])).logits[0]
    for at in range(14, len(found)):
        if found[at] != TOKEN:
            scores = logits[at - 1].clone()
            scores[TOKEN] = -torch.inf
            assert int(scores.argmax()) == found[at]


def test_a_model_without_landmarks_is_answered_as_ever() -> None:
    answers = LandmarkAnswers(build_llama())
    assert answers.prompt([1, 2]) == [1, 2]
    assert answers.tokens_for([[1, 2]], 100) == 100
    assert answers.library_options(torch.ones(1, 2)) == {}
    assert not answers.is_landmark(TOKEN)


def test_the_configuration_remembers_and_a_damaged_one_is_refused(tmp_path: Any) -> None:
    model = with_landmarks()
    model.config.save_pretrained(tmp_path)
    known = landmarks_of(AutoConfig.from_pretrained(tmp_path))
    assert known == Landmarks(TOKEN, block_tokens=9)
    model.config.landmark_attention = {"blocks": 3}
    with pytest.raises(ModelError, match="cannot be read"):
        landmarks_of(model.config)
