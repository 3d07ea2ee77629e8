"""Answers in the middle of a training: those of the model, and the training does not notice."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import GenerationConfig

from axolotl.attention import per_document
from axolotl.training.generation import GreedyAnswers, end_tokens, ready_to_generate
from tests.conftest import build_llama

PROMPTS = [[5, 6, 7, 8, 9], [11], [20, 21, 22, 23, 24, 25, 26]]
MOST = 7


def greedily(model: Any, prompt: list[int], ends: list[int], most: int = MOST) -> list[int]:
    """The most probable token each time, without cache and without the library's generation."""
    ids = list(prompt)
    while len(ids) < len(prompt) + most and (len(ids) == len(prompt) or ids[-1] not in ends):
        with torch.no_grad():
            ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]


def in_training(kind: str) -> Any:
    """A model as it is in the middle of a training."""
    per_document.register()
    model: Any = build_llama(seed=5, attn_implementation="per_document", attention_dropout=0.3)
    if kind == "lora":
        settings = LoraConfig(r=4, target_modules="all-linear", lora_dropout=0.5)
        model = get_peft_model(model, settings)
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.3)
    if kind == "checkpointed":
        names = ("activation_checkpointing_enable", "gradient_checkpointing_enable")
        name = next(name for name in names if hasattr(model, name))  # the second before 5.21
        getattr(model, name)({"use_reentrant": False})
    model.config.use_cache = False
    return model.train()


@pytest.mark.parametrize("kind", ["full", "lora", "checkpointed"])
def test_answers_are_the_most_probable_tokens(kind: str, tokenizer: Any) -> None:
    model = in_training(kind)
    answer = GreedyAnswers(model, tokenizer, max_new_tokens=MOST)
    plain = in_training(kind).eval()
    getattr(plain, "get_base_model", lambda: plain)().set_attn_implementation("eager")
    found = answer(PROMPTS)
    for prompt, got in zip(PROMPTS, found, strict=True):
        want = greedily(plain, prompt, [2])
        assert got.text == tokenizer.decode(want, skip_special_tokens=True)
        assert (got.tokens, got.stopped) == (len(want), want[-1] == 2)
        assert got.seconds > 0


@pytest.mark.parametrize("kind", ["full", "lora", "checkpointed"])
def test_the_training_does_not_notice(kind: str, tokenizer: Any) -> None:
    model = in_training(kind)
    base = getattr(model, "get_base_model", lambda: model)()
    frozen = base.model.layers[0].mlp.eval()  # somebody holds a part in evaluation mode
    base.generation_config.temperature = 0.3
    settings = base.generation_config
    modes = [module.training for module in model.modules()]
    torch.manual_seed(1)
    before = torch.get_rng_state()
    GreedyAnswers(model, tokenizer, max_new_tokens=3)(PROMPTS)
    assert torch.equal(torch.get_rng_state(), before)
    assert [module.training for module in model.modules()] == modes
    assert not frozen.training
    assert base.config._attn_implementation == "per_document"
    assert base.config.use_cache is False
    assert base.generation_config is settings
    assert settings.temperature == 0.3
    assert all(p.grad is None for p in model.parameters())


def test_all_comes_back_after_an_error(tokenizer: Any) -> None:
    model = in_training("full")
    with pytest.raises(KeyError), ready_to_generate(model):
        assert not model.training
        assert model.config._attn_implementation == "sdpa"
        raise KeyError
    assert model.training
    assert model.config._attn_implementation == "per_document"


def test_a_cache_is_used(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = in_training("checkpointed")
    lengths: list[int] = []
    plain = model.model.forward
    monkeypatch.setattr(
        model.model,
        "forward",
        lambda *args, **more: lengths.append(more["input_ids"].shape[1]) or plain(*args, **more),
    )
    GreedyAnswers(model, tokenizer, max_new_tokens=4)([PROMPTS[0]])
    assert lengths[0] == 5
    assert set(lengths[1:]) == {1}


def test_an_answer_ends_with_any_end_token_and_does_not_show_it(tokenizer: Any) -> None:
    model = in_training("full")
    first = greedily(model.eval(), PROMPTS[0], [], 1)[0]
    model.generation_config.eos_token_id = [2, first]
    assert end_tokens(model, tokenizer) == [2, first]
    (found,) = GreedyAnswers(model, tokenizer, max_new_tokens=MOST)([PROMPTS[0]])
    assert (found.text, found.tokens, found.stopped) == ("", 1, True)


def test_answers_fit_into_the_positions_of_the_model(tokenizer: Any) -> None:
    model = build_llama(max_position_embeddings=16)
    answer = GreedyAnswers(model, tokenizer, max_new_tokens=10)
    assert [answer.room([1] * n) for n in (3, 6, 12, 16, 20)] == [10, 10, 4, 0, 0]
    (found,) = answer([[5] * 14])
    assert found.tokens <= 2


@pytest.mark.parametrize("ends", [None, 2], ids=["endless", "end"])
def test_no_token_for_padding_is_needed(ends: int | None) -> None:
    from tests.conftest import build_tokenizer

    own = build_tokenizer()
    own.pad_token = None
    own.eos_token = "</s>" if ends else None
    model = build_llama(pad_token_id=None, eos_token_id=ends)
    model.generation_config = GenerationConfig(eos_token_id=ends)
    (found,) = GreedyAnswers(model, own, max_new_tokens=3)([PROMPTS[0]])
    assert 1 <= found.tokens <= 3
