"""Whether a row of a model can join others that are being answered.

That takes a cache of keys and values, column by column, and layers that hear of padding by the mask
alone. What a short probe cannot see is asked of the configuration; the rest is found by trying: a row
joins another, and one leaves, and all must be told what the library's own `generate` tells each alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from axolotl.inference.columns import has_columns
from axolotl.inference.making import Making, Row
from axolotl.inference.options import GenerationOptions
from axolotl.inference.padding import first_told, is_rounding, noise_of, only
from axolotl.inference.together import Together
from axolotl.models.native.landmark import landmarks_of
from axolotl.models.native.landmark.answers import LandmarkAnswers
from axolotl.models.rope_config import text_config

_LENGTHS = (7, 12, 4)
_NEW = 5
_BY_LENGTH = ("dynamic", "longrope")
"""Rotary positions that are turned by the longest row of a batch."""


@torch.no_grad()
def why_not_join(model: Any, pad: int) -> str | None:
    """Why rows of this model are answered apart; None where they can join each other.

    Args:
        model: A model of transformers, or one with an adapter of peft on it.
        pad: Token to pad with.
    """
    if landmarks_of(model.config) is not None:
        return "it reads by landmarks"
    if getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False):
        return "its adapter stands before each prompt"
    if turned_by_length(model.config):
        return "its rotary positions depend on the longest prompt"
    own = text_config(model.config)
    if "chunked_attention" in (getattr(own, "layer_types", None) or ()):
        return "its attention goes by chunks"
    first = model(input_ids=torch.tensor([[pad]], device=_device(model)), use_cache=True)
    if not has_columns(getattr(first, "past_key_values", None)):
        return "it remembers by a state"
    if not _tells_the_same(model, pad):
        return "padding disturbs it"
    return None


def _device(model: Any) -> torch.device:
    return next(model.parameters()).device


def turned_by_length(config: Any) -> bool:
    """Whether the length of one row changes the rotary positions of the others."""
    given = getattr(text_config(config), "rope_parameters", None)
    if not isinstance(given, dict):
        return False
    each = [given, *(one for one in given.values() if isinstance(one, dict))]
    return any(one.get("rope_type") in _BY_LENGTH for one in each)


def _tells_the_same(model: Any, pad: int) -> bool:
    """Whether rows that come and go have the logits that `generate` gives each alone."""
    device = _device(model)
    vocabulary = model.get_input_embeddings().weight.shape[0]
    draws = torch.Generator().manual_seed(0)
    prompts = [torch.randint(vocabulary, (1, n), generator=draws) for n in _LENGTHS]
    told: list[_Told] = []
    rows: list[Row] = []
    for ids in prompts:
        given = ids.to(device)
        logits, taken = first_told(model, given, torch.ones_like(given), _NEW)
        told.append(_Told(logits[:, 0], taken, noise_of(model)))
        rows.append(_row(ids[0].tolist(), model))
    by_row = dict(zip(rows, told, strict=True))
    engine = Together(
        model, pad, places=len(rows), choose=lambda row: LogitsProcessorList([by_row[row]])
    )
    short, long, shortest = rows
    engine.join([short])
    engine.step()
    engine.join([long])
    engine.step()
    engine.join([shortest])
    engine.step()
    engine.leave([long])
    engine.step()
    engine.leave([short])
    engine.step()
    return all(one.the_same for one in told)


class _Told(LogitsProcessor):
    """Compares what a row is told with what it is told alone, and has it go on as it does alone.

    Args:
        alone: Its logits alone, (new tokens, V).
        taken: The tokens that it takes alone, (new tokens, 1).
        noise: What rounding may do to the logits of the model.
    """

    def __init__(self, alone: Tensor, taken: Tensor, noise: float) -> None:
        self.the_same = True
        self._noise = noise
        self._coming = zip(alone, taken, strict=True)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # noqa: ARG002  the library's signature
        """Scores (1, V)."""
        alone, token = next(self._coming)
        self.the_same = self.the_same and is_rounding(alone, scores[0], self._noise)
        return only(scores, token)


def _row(ids: list[int], model: Any) -> Row:
    making = Making(
        lambda _: "",
        ends=(),
        stops=(),
        most_tokens=_NEW,
        most_made=_NEW,
        landmarks=LandmarkAnswers(model),
    )
    return Row(ids, GenerationOptions(temperature=0), making)
