"""Greedy answers of a model that is being trained, which leave its training as it was.

Prompts are answered one by one: a padded batch is faster, but padding moves the logits a little, and
models whose layers hold a state or that count positions in their own way would answer otherwise.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
)

from axolotl.attention import landmark
from axolotl.models.backend import attention_need
from axolotl.models.native.landmark.answers import LandmarkAnswers
from axolotl.models.rope_config import reach
from axolotl.training.evaluation import GivenUp, evaluating


@dataclass(frozen=True)
class Answer:
    """An answer to one prompt.

    Args:
        text: The answer, without special tokens.
        tokens: Its length, the end token included.
        seconds: How long it took.
        stopped: Whether it ended with an end token, and not because it had become too long.
    """

    text: str
    tokens: int
    seconds: float
    stopped: bool


class GreedyAnswers:
    """Answers prompts with the most probable token each time.

    Args:
        model: A model of transformers, or one with an adapter of peft on it; not wrapped for several
            processes.
        tokenizer: Its tokenizer; it needs no token for padding.
        max_new_tokens: Longest answer.
        autocast: Opens the precision context of a forward pass.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_new_tokens: int,
        autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._max_new_tokens = max_new_tokens
        self._autocast = autocast
        self._landmarks = LandmarkAnswers(model)

    @property
    def landmark(self) -> int | None:
        """Number of the token that stands in prompts and answers by its place; None for none."""
        return self._landmarks.token_id

    def room(self, prompt: Sequence[int]) -> int:
        """How many tokens an answer to these tokens may have; 0 where the model has no more positions."""
        limit = position_limit(self._model)
        length = len(self._landmarks.prompt(prompt))
        left = self._max_new_tokens if limit is None else limit - length
        return max(0, min(self._max_new_tokens, left))

    def __call__(
        self, prompts: Sequence[Sequence[int]], give_up: Callable[[], bool] = lambda: False
    ) -> list[Answer]:
        """Answer each prompt.

        Args:
            prompts: Their tokens; none is empty, and each leaves room for an answer.
            give_up: Asked after each token whether to go on.

        Raises:
            GivenUp: it was not to go on.
        """
        ends = end_tokens(self._model, self._tokenizer)
        with ready_to_generate(self._model), self._autocast():
            found = [self._landmarks.prompt(prompt) for prompt in prompts]
            return [self._answer(prompt, ends, give_up) for prompt in found]

    def _answer(self, prompt: list[int], ends: list[int], give_up: Callable[[], bool]) -> Answer:
        began = time.perf_counter()
        device = next(self._model.parameters()).device
        ids = torch.tensor([prompt], device=device)
        limit = position_limit(self._model)
        tokens = self._landmarks.tokens_for([prompt], self._max_new_tokens)
        how = GenerationConfig(
            max_new_tokens=tokens if limit is None else min(tokens, limit - len(prompt)),
            do_sample=False,
            use_cache=True,
            eos_token_id=ends or None,
            pad_token_id=ends[0] if ends else 0,  # nothing is padded; the library wants to know one
        )
        with torch.no_grad():
            found = self._model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                generation_config=how,
                **self._landmarks.library_options(torch.ones_like(ids)),
                stopping_criteria=StoppingCriteriaList([_GiveUp(give_up)]),
            )
        if give_up():
            raise GivenUp
        new: list[int] = found[0, len(prompt) :].tolist()
        stopped = bool(new) and new[-1] in ends
        return Answer(
            decode(self._tokenizer, self._landmarks.answer(new[:-1] if stopped else new)),
            len(new),
            time.perf_counter() - began,
            stopped,
        )


class _GiveUp(StoppingCriteria):
    """Ends an answer that is not to go on."""

    def __init__(self, give_up: Callable[[], bool]) -> None:
        self._give_up = give_up

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        count, device = input_ids.shape[0], input_ids.device
        return torch.full((count,), self._give_up(), dtype=torch.bool, device=device)


def position_limit(model: Any) -> int | None:
    """The positions that a model has; None where it names no number of them."""
    return positions(model.config)


def positions(config: Any) -> int | None:
    """The positions that a model of this configuration has; None where it names no number of them."""
    return reach(config)


def decode(tokenizer: Any, ids: Sequence[int]) -> str:
    """Tokens as text, without special tokens."""
    return tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)


def end_tokens(model: Any, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokenizer's end token, and those that the model's folder or its training names besides."""
    named = model.generation_config.eos_token_id if model.generation_config else None
    listed = named if isinstance(named, list) else [named]
    return list(dict.fromkeys(i for i in (tokenizer.eos_token_id, *listed) if isinstance(i, int)))


@contextmanager
def ready_to_generate(model: Any) -> Iterator[None]:
    """Let a model in training generate while the body runs; everything is then as it was.

    Evaluation mode switches off dropout and the recomputing of activations, which would forbid a
    cache of keys and values. The attention of flattened rows knows no such cache, so the library's
    own takes its place. What the model's folder suggests for sampling is put away. Random numbers,
    should any be drawn, are drawn from a copy.

    Args:
        model: The model, with or without adapter.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    device = next(model.parameters()).device
    with (
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        evaluating(model),
        _plain_attention(base),
        _own_generation_config(model, base),
    ):
        yield


@contextmanager
def _plain_attention(base: Any) -> Iterator[None]:
    """`sdpa` where the model has it, else `eager`; the attention that was set comes back."""
    before = base.config._attn_implementation
    if before == landmark.NAME:  # it knows a cache, and the model was trained with it
        yield
        return
    need = attention_need(base.config)
    plain = "sdpa" if need.sdpa and not need.softcap else "eager"
    if before == plain or not getattr(base, "_supports_attention_backend", False):
        yield
        return
    base.set_attn_implementation(plain)
    try:
        yield
    finally:
        base.set_attn_implementation(before)


@contextmanager
def _own_generation_config(*models: Any) -> Iterator[None]:
    """Empty settings in place of those that the models have; peft hands its own to the base model."""
    own = {id(model): model for model in models if "generation_config" in vars(model)}
    before = [(model, model.generation_config) for model in own.values()]
    for model, _ in before:
        model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        for model, settings in before:
            model.generation_config = settings
