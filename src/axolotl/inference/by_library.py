"""Tokens of answers by the library's own `generate`: of one prompt as they come, or of a padded batch.

It knows every architecture; a batch of it ends with its longest answer, and no other can join it.

B prompts of a batch, T tokens of the longest.
"""

from __future__ import annotations

from collections.abc import Generator as Stream
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from axolotl.inference.making import Row
from axolotl.inference.options import GenerationOptions
from axolotl.inference.sampling import choice
from axolotl.inference.stop import StopTexts
from axolotl.inference.stream import stream_tokens
from axolotl.models.native.landmark.answers import LandmarkAnswers
from axolotl.training.generation import decode


class ByLibrary:
    """Makes tokens with `generate`.

    Args:
        model: A model of transformers, or one with an adapter of peft on it.
        tokenizer: Its tokenizer.
        ends: Tokens that end an answer.
        pad: Token to pad with.
        landmarks: The landmarks of the model.
    """

    def __init__(
        self, model: Any, tokenizer: Any, *, ends: list[int], pad: int, landmarks: LandmarkAnswers
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._ends = ends
        self._pad = pad
        self._landmarks = landmarks
        self._device = next(model.parameters()).device

    def tokens(
        self, ids: list[int], options: GenerationOptions, *, most: int, base: bool = False
    ) -> Stream[int]:
        """Tokens behind one prompt, as they come; closing it ends the making.

        Args:
            ids: The prompt.
            options: How they are chosen; the seed is that of this answer alone.
            most: How many are made.
            base: Whether the base model answers, without its adapter.
        """
        given = self._given([ids], options, [options.seed], most)

        def generate(**extra: Any) -> None:
            with self._model.disable_adapter() if base else nullcontext():
                self._model.generate(**given, **extra)

        return stream_tokens(generate)

    def batch(
        self,
        prompts: Sequence[list[int]],
        options: GenerationOptions,
        seeds: Sequence[int],
        *,
        most: int,
    ) -> list[list[int]]:
        """Tokens behind a few prompts, made together; behind an end token stands padding.

        Args:
            prompts: The prompts.
            options: How tokens are chosen.
            seeds: One for each answer.
            most: How many are made for each.
        """
        given = self._given(prompts, options, seeds, most)
        width = given["input_ids"].shape[1]
        stops = StopTexts(options.stop, lambda ids: decode(self._tokenizer, ids), width)
        if options.stop:
            given["stopping_criteria"] = [stops]
        made = self._model.generate(**given)[:, width:].tolist()
        return [ids[: stops.ended.get(number)] for number, ids in enumerate(made)]

    def _given(
        self,
        prompts: Sequence[list[int]],
        options: GenerationOptions,
        seeds: Sequence[int],
        most: int,
    ) -> dict[str, Any]:
        """What `generate` is called with."""
        ids, mask = padded(prompts, self._pad, self._device)
        more = self._landmarks.library_options(mask)
        processors = choice(options, seeds, mask=mask, between=more.pop("logits_processor", ()))
        how = options.for_library(eos=self._ends, pad=self._pad, max_new_tokens=most)
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "generation_config": how,
            "logits_processor": processors,
            **more,
        }


class OneByOne:
    """An engine with room for one row, for models whose rows cannot join others.

    Args:
        library: Makes the tokens.
    """

    places = 1

    def __init__(self, library: ByLibrary) -> None:
        self._library = library
        self._row: Row | None = None
        self._tokens: Stream[int] | None = None

    def join(self, rows: Sequence[Row]) -> list[tuple[Row, int]]:
        """Begin with a row, and give its first token."""
        (self._row,) = rows
        most = self._row.making.most_made
        self._tokens = self._library.tokens(self._row.ids, self._row.options, most=most)
        return self.step()

    def step(self) -> list[tuple[Row, int]]:
        """The next token."""
        assert self._row is not None
        assert self._tokens is not None, "no row has joined"
        return [(self._row, next(self._tokens))]

    def leave(self, rows: Sequence[Row]) -> None:
        """End it."""
        if self._row in rows and self._tokens is not None:
            self._tokens.close()
            self._row = self._tokens = None


def padded(
    prompts: Sequence[Sequence[int]], pad: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Ids and mask, int64, (B, T), padded on the left.

    The answer must begin right behind the prompt, so the padding stands before it.

    Args:
        prompts: Ids of each prompt.
        pad: Token to pad with.
        device: Where they are to be.
    """
    width = max(map(len, prompts))
    ids = torch.full((len(prompts), width), pad)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    return ids.to(device), mask.to(device)
