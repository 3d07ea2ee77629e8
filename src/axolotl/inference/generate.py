"""Answers: streamed one by one, or many at a time.

B prompts of a batch, T tokens of the longest.
"""

from __future__ import annotations

from collections.abc import Generator as Stream
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import GenerationConfig, PreTrainedTokenizerBase

from axolotl.artifacts.trained import MERGED, Trained, find_full, find_trained
from axolotl.core.console import note_once
from axolotl.data.encoder import Encoder
from axolotl.data.prompts import prompt_ids
from axolotl.data.tokenize import SegmentBatch, tokenize
from axolotl.errors import DataError
from axolotl.formats import BoundFormat
from axolotl.inference.options import GenerationOptions
from axolotl.inference.prompt import choose_format
from axolotl.inference.stream import TextSoFar, stream_tokens
from axolotl.models.load import base_dtype
from axolotl.models.native.landmark.answers import LandmarkAnswers
from axolotl.models.quantized import gptq_base, quantized_base
from axolotl.records import Segment
from axolotl.training.generation import end_tokens, position_limit

if TYPE_CHECKING:
    from axolotl.resolve import Resolved

BATCH_PROMPTS = 8


class Generator:
    """Answers questions with one model.

    Args:
        model: A model of transformers, or one with an adapter of peft on it.
        tokenizer: Its tokenizer.
        bound: Format that questions are asked in; None for plain text.
        options: How an answer is chosen.

    Attributes:
        cut: Whether the last answer ended because it had become too long.
        tokens: How many tokens the last answer has so far, without the one that ends it.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: PreTrainedTokenizerBase,
        *,
        bound: BoundFormat | None,
        options: GenerationOptions | None = None,
    ) -> None:
        self.options = options or GenerationOptions()
        self.bound = bound
        self.cut = False
        self.tokens = 0
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._encoder = Encoder(tokenizer)
        self._eos = end_tokens(model, tokenizer)
        self._pad = next((i for i in (tokenizer.pad_token_id, *self._eos) if isinstance(i, int)), 0)
        self._answers = 0
        self._landmarks = LandmarkAnswers(model)
        # What the model's folder suggests must not mix with what was asked for.
        model.generation_config = GenerationConfig(eos_token_id=self._eos or None)

    def prompt_ids(self, text: str) -> list[int]:
        """Token ids that the model is given for a question."""
        return self._prompts([text])[0]

    def _prompts(self, texts: Sequence[str]) -> list[list[int]]:
        ids = prompt_ids(texts, bound=self.bound, encoder=self._encoder)
        return [self._landmarks.prompt(prompt) for prompt in ids]

    def stream(self, text: str) -> Stream[str]:
        """The answer to one question, in pieces as they come.

        Raises:
            DataError: the question is empty, or longer than the model allows.
        """
        seed = self.options.seed + self._number(1)
        return _said(self.stream_ids(self.prompt_ids(text), replace(self.options, seed=seed)))

    def segment_ids(self, segments: Sequence[Segment]) -> list[int]:
        """Token ids that the model is given for segments of a prompt."""
        batch = SegmentBatch()
        batch.add(list(segments))
        return self._landmarks.prompt(tokenize(batch, self._encoder)[0].input_ids.tolist())

    def stream_ids(self, ids: list[int], options: GenerationOptions) -> Stream[str]:
        """The answer to a prompt of tokens: for each of its tokens the text that it makes certain.

        Args:
            ids: The prompt.
            options: How this answer is chosen; its seed is that of this answer alone.

        Raises:
            DataError: the prompt is empty, or longer than the model allows.
        """
        how, inputs = self._library_options([ids], options), self._inputs([ids])
        more = self._landmarks.library_options(inputs["attention_mask"])

        def generate(**extra: Any) -> None:
            with self._seeded(options.seed):
                self._model.generate(**inputs, generation_config=how, **more, **extra)

        return self._pieces(stream_tokens(generate), how)

    def answer(self, text: str) -> str:
        """The whole answer to one question.

        Raises:
            DataError: as `stream`.
        """
        return "".join(self.stream(text))

    def answers(self, texts: Sequence[str]) -> list[str]:
        """Answers to many questions, several at a time.

        Raises:
            DataError: as `stream`.
        """
        prompts = self._prompts(texts)
        by_length = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        done: dict[int, str] = {}
        for start in range(0, len(by_length), BATCH_PROMPTS):
            which = by_length[start : start + BATCH_PROMPTS]
            done.update(zip(which, self._batch([prompts[i] for i in which]), strict=True))
        return [done[i] for i in range(len(prompts))]

    def _batch(self, ids: list[list[int]]) -> list[str]:
        how, inputs = self._library_options(ids, self.options), self._inputs(ids)
        with self._seeded(self.options.seed + self._number(len(ids))):
            more = self._landmarks.library_options(inputs["attention_mask"])
            output = self._model.generate(**inputs, generation_config=how, **more)
        new = output[:, inputs["input_ids"].shape[1] :].tolist()
        return [self._decode(self._to_end(row)) for row in new]

    def _pieces(self, tokens: Stream[int], how: GenerationConfig) -> Stream[str]:
        text, self.cut, self.tokens = TextSoFar(self._decode), False, 0
        with closing(tokens):
            for count, token in enumerate(tokens, start=1):
                # An end token is no text, also where the tokenizer does not know it for one.
                if token in self._eos:
                    break
                self.cut = count == how.max_new_tokens
                if self._landmarks.is_landmark(token):
                    continue
                self.tokens += 1
                yield text.add(token)
        if piece := text.rest():
            yield piece

    def _inputs(self, ids: list[list[int]]) -> dict[str, torch.Tensor]:
        """`input_ids` and `attention_mask`, int64, (B, T), padded on the left.

        The answer must begin right behind the prompt, so the padding stands before it.
        """
        width = max(map(len, ids))
        tokens = torch.full((len(ids), width), self._pad)
        mask = torch.zeros_like(tokens)
        for row, prompt in enumerate(ids):
            tokens[row, width - len(prompt) :] = torch.tensor(prompt)
            mask[row, width - len(prompt) :] = 1
        device = next(self._model.parameters()).device
        return {"input_ids": tokens.to(device), "attention_mask": mask.to(device)}

    def _library_options(
        self, ids: list[list[int]], options: GenerationOptions
    ) -> GenerationConfig:
        longest = max(map(len, ids))
        tokens = self._landmarks.tokens_for(ids, options.max_new_tokens)
        if not min(map(len, ids)):
            raise DataError("the prompt is empty", hint="write a question")
        limit = position_limit(self._model)
        if limit is not None:
            if longest >= limit:
                raise DataError(
                    f"the prompt has {longest} tokens, and the model only {limit} positions",
                    hint="shorten it",
                )
            if longest + tokens > limit:
                note_once(f"answers end where prompt and answer fill the model's {limit} positions")
                tokens = limit - longest
        return options.for_library(eos=self._eos, pad=self._pad, max_new_tokens=tokens)

    def _number(self, count: int) -> int:
        """Number of the next answer, of which `count` are made now."""
        self._answers += count
        return self._answers - count

    @contextmanager
    def _seeded(self, seed: int) -> Iterator[None]:
        """Sample by a seed of its own, and leave the outer generator alone."""
        device = next(self._model.parameters()).device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield

    def _to_end(self, ids: list[int]) -> list[int]:
        ends = [place for place, token in enumerate(ids) if token in self._eos]
        answer = self._landmarks.answer(ids[: ends[0]] if ends else ids)
        return answer[: self.options.max_new_tokens]

    def _decode(self, ids: list[int]) -> str:
        text: Any = self._tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text


def _said(pieces: Stream[str]) -> Stream[str]:
    """The pieces that are not empty."""
    with closing(pieces):
        yield from filter(None, pieces)


def open_generator(
    resolved: Resolved,
    *,
    base: bool = False,
    merged: bool = False,
    prompter: str | None = None,
    **options: Any,
) -> Generator:
    """Load what a configuration trained, ready to answer.

    Args:
        resolved: The configuration.
        base: Take the base model without what was trained.
        merged: Take the merged model in `output_dir/merged`.
        prompter: Format of the questions; default that of the training. `none` for plain text.
        options: As `GenerationOptions`; the seed is that of the file unless given.

    Raises:
        ModelError: nothing trained is there, or it does not load.
        ConfigError: a generation option that is none.
    """
    how = GenerationOptions.of(**{"seed": resolved.training.seed} | options)
    output_dir = Path(resolved.saving.output_dir)
    if base:
        found = Trained(resolved.model)
    elif merged:
        found = find_full(resolved.model, output_dir / MERGED)
    else:
        found = find_trained(resolved.model, resolved.adapter, output_dir=output_dir)
    tokenizer = found.tokenizer()
    bound = choose_format(
        prompter, run=found.run, options=resolved, encoder=Encoder(tokenizer), saved=not base
    )
    model = found.open(
        dtype=base_dtype(resolved),
        tokenizer=tokenizer,
        quantized=quantized_base(resolved)
        if base or found.adapter
        else gptq_base(resolved, found.model),
        rope_scaling=resolved.attention.rope_scaling,
    )
    if torch.cuda.is_available():
        model = model.to("cuda")
    return Generator(model, tokenizer, bound=bound, options=how)
