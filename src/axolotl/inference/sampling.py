"""Tokens chosen by chance, each answer by its own: it is the same alone and among others.

The library draws the tokens of a whole batch from one generator, so an answer would depend on what
it happens to be batched with. Here each row has its generator, and the token is the most probable
one after Gumbel noise is added to its scores, which is a draw from them.

B answers of a batch, T tokens of the longest, V tokens of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList
from transformers.generation.logits_process import (
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

if TYPE_CHECKING:
    from axolotl.inference.options import GenerationOptions

_SEEDS = 2**32
"""Torch's generator looks at no more of a seed on the CPU."""
_APART = 2_654_435_761
"""Far apart and odd: no two answers of a run share a seed, nor do those of neighbouring seeds."""


class Penalty(LogitsProcessor):
    """Makes tokens of prompt and answer less probable; padding is neither.

    The library's own counts the padding token as said wherever there is padding, and that is often the
    token that ends an answer.

    Args:
        penalty: By what their scores are divided, or multiplied where they are below 0.
        mask: 0 at the padding on the left of the prompts, (B, T); None where there is none.
    """

    def __init__(self, penalty: float, mask: Tensor | None = None) -> None:
        self._penalty = penalty
        self._mask = mask

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (B, V) behind tokens (B, T)."""
        counts = torch.ones_like(input_ids)
        if self._mask is not None:
            counts[:, : self._mask.shape[1]] = self._mask
        seen = torch.zeros_like(scores, dtype=counts.dtype).scatter_add(1, input_ids, counts) > 0
        less = torch.where(scores < 0, scores * self._penalty, scores / self._penalty)
        return torch.where(seen, less, scores)


class Draw(LogitsProcessor):
    """Makes the most probable token that of a draw.

    Args:
        options: Temperature, top-k, top-p and min-p; not greedy.
        seeds: One for each answer.
    """

    def __init__(self, options: GenerationOptions, seeds: Sequence[int]) -> None:
        self._warpers: list[LogitsProcessor] = [TemperatureLogitsWarper(float(options.temperature))]
        if options.top_k:
            self._warpers.append(TopKLogitsWarper(options.top_k))
        if options.top_p < 1:
            self._warpers.append(TopPLogitsWarper(float(options.top_p)))
        if options.min_p:
            self._warpers.append(MinPLogitsWarper(float(options.min_p)))
        # On the CPU, so that a seed means the same on every device.
        self._generators = [torch.Generator().manual_seed(seed % _SEEDS) for seed in seeds]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (B, V) behind tokens (B, T)."""
        scores = scores.float()
        for warp in self._warpers:
            scores = warp(input_ids, scores)  # pyright: ignore[reportArgumentType]  Tensor or LongTensor
        waits = [
            torch.empty(scores.shape[1]).exponential_(generator=one) for one in self._generators
        ]
        return scores - torch.stack(waits).to(scores.device).log()


def choice(
    options: GenerationOptions,
    seeds: Sequence[int],
    *,
    mask: Tensor | None = None,
    between: Sequence[LogitsProcessor] = (),
) -> LogitsProcessorList:
    """What makes the token that is to be taken the one with the highest score.

    Args:
        options: How answers are chosen.
        seeds: One for each answer.
        mask: 0 at the padding on the left of the prompts, (B, T); None where there is none.
        between: What else changes scores, before a token is drawn.
    """
    found = LogitsProcessorList([])
    if options.penalty != 1:
        found.append(Penalty(options.penalty, mask))
    found.extend(between)
    if not options.greedy:
        found.append(Draw(options, seeds))
    return found


def seed_of(seed: int, number: int) -> int:
    """The seed of one of many answers.

    >>> seed_of(42, 0) == 42, seed_of(42, 1) == seed_of(43, 0)
    (True, False)
    """
    return (seed + number * _APART) % _SEEDS
