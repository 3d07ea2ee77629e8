"""Which prompts can be answered together.

Prompts of several lengths make one batch by padding in front of the shorter ones, which the mask
hides. Some models are disturbed by it all the same: those whose layers hold a state, or that count
positions without looking at the mask. Whether a model is one of them is found by asking it; it is
then asked one prompt at a time, as not all of them keep the rows of a batch apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import LogitsProcessor, LogitsProcessorList

_PROBE_TOKENS, _PADDING, _NEW = 7, 5, 3
_NOISE, _NOISE_IN_HALF = 0.02, 0.25
"""Difference of logits that rounding may make, as a share of their spread, in fp32 and in fewer bits. One
step of bf16 is 0.03 of it where a logit is four spreads from zero; a model that is disturbed is about one
off."""


def answers_alike_with_padding(model: Any, pad: int) -> bool:
    """Whether padding on the left leaves the logits of a model as they are.

    Args:
        model: A model of transformers, with or without adapter.
        pad: Token to pad with.
    """
    vocabulary = model.get_input_embeddings().weight.shape[0]
    device = next(model.parameters()).device
    draws = torch.Generator().manual_seed(0)
    probe = torch.randint(vocabulary, (1, _PROBE_TOKENS), generator=draws).to(device)
    other = torch.randint(vocabulary, (1, _PROBE_TOKENS + _PADDING), generator=draws).to(device)
    front = torch.full((1, _PADDING), pad, device=device)
    padded = torch.cat([torch.cat([front, probe], dim=1), other])
    mask = torch.ones_like(padded)
    mask[0, :_PADDING] = 0
    alone, taken = first_told(model, probe, torch.ones_like(probe), _NEW)
    together, _ = first_told(model, padded, mask, _NEW, takes=taken)
    return is_rounding(alone[:, 0], together[:, 0], noise_of(model))


def noise_of(model: Any) -> float:
    """Difference of logits that rounding may make in a model, as a share of their spread."""
    exact = all(one.dtype in (torch.float32, torch.float64) for one in model.parameters())
    return _NOISE if exact else _NOISE_IN_HALF


def is_rounding(logits: torch.Tensor, other: torch.Tensor, noise: float) -> bool:
    """Whether logits differ by no more than rounding.

    Args:
        logits: Some logits, (..., V).
        other: The others.
        noise: What `noise_of` says of their model.
    """
    return bool((logits - other).abs().max() <= noise * logits.std())


def only(scores: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Scores (B, V) that leave one token (B) to each row."""
    return torch.full_like(scores, -torch.inf).scatter_(1, tokens[:, None], 0)


class _Takes(LogitsProcessor):
    """Has the first rows go on with given tokens (new tokens, rows): rounding may turn their choice."""

    def __init__(self, tokens: torch.Tensor) -> None:
        self._coming = iter(tokens)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:  # noqa: ARG002  the library's signature
        tokens = next(self._coming)
        return torch.cat([only(scores[: len(tokens)], tokens), scores[len(tokens) :]])


def first_told(
    model: Any,
    ids: torch.Tensor,
    mask: torch.Tensor,
    new: int,
    *,
    takes: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the library's `generate` is told of the first new tokens, and what it takes.

    Args:
        model: A model of transformers, with or without adapter.
        ids: The prompts, (B, T).
        mask: 0 at their padding, (B, T).
        new: How many tokens are made.
        takes: The tokens that the first rows take, (new tokens, rows); default: all as they would.

    Returns:
        Logits, fp32, (new tokens, B, V), and tokens, (new tokens, B). These need not be the likeliest:
        a token that ends the answer is not taken, nor what the model's own generation settings forbid.
    """
    from transformers import GenerationConfig

    how = GenerationConfig(
        max_new_tokens=new,
        min_new_tokens=new,
        do_sample=False,
        use_cache=True,
        return_dict_in_generate=True,
        output_logits=True,
    )
    made = model.generate(
        input_ids=ids,
        attention_mask=mask,
        generation_config=how,
        logits_processor=LogitsProcessorList([] if takes is None else [_Takes(takes)]),
    )
    return torch.stack(made.logits).float(), made.sequences[:, ids.shape[1] :].T


def batches_of(lengths: Sequence[int], *, most: int, room_tokens: int | None) -> list[list[int]]:
    """Numbers of the prompts of each batch, the short ones first.

    Args:
        lengths: Tokens of each prompt.
        most: How many prompts a batch may have.
        room_tokens: Longest prompt that leaves room for the longest answer; longer ones go with
            those of their own length, as the longest of a batch would shorten the others' answers.

    >>> batches_of([5, 3, 5, 4], most=3, room_tokens=None)
    [[1, 3, 0], [2]]
    >>> batches_of([5, 3, 5, 4], most=3, room_tokens=3)
    [[1], [3], [0, 2]]
    """
    found: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        last = found[-1] if found else []
        mixes = room_tokens is None or lengths[i] <= room_tokens
        if last and len(last) < most and (mixes or lengths[last[0]] == lengths[i]):
            last.append(i)
        else:
            found.append([i])
    return found
