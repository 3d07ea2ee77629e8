"""Answers: streamed one by one, or many at a time.

B prompts of a batch, T tokens of the longest.
"""

from __future__ import annotations

from collections.abc import Generator as Stream
from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from transformers import GenerationConfig, LogitsProcessorList, PreTrainedTokenizerBase

from axolotl.core.console import note_once
from axolotl.data.encoder import Encoder
from axolotl.data.tokenize import SegmentBatch, tokenize
from axolotl.errors import DataError
from axolotl.formats import BoundFormat
from axolotl.inference.options import GenerationOptions
from axolotl.inference.padding import answers_alike_with_padding, batches_of
from axolotl.inference.prompt import Prompt, choose_format, segments_of
from axolotl.inference.sampling import Draw, seed_of
from axolotl.inference.stop import StopInPieces, StopTexts, before_stop
from axolotl.inference.stream import TextSoFar, stream_tokens
from axolotl.inference.which import bits_of, find_answering, weights_of
from axolotl.models.load import base_dtype
from axolotl.models.native.landmark.answers import LandmarkAnswers
from axolotl.records import Segment
from axolotl.training.generation import end_tokens, position_limit

if TYPE_CHECKING:
    from axolotl.resolve import Resolved

BATCH_PROMPTS = 8


@dataclass(frozen=True)
class Answer:
    """An answer that was made with others.

    Args:
        text: What it says, without special tokens.
        tokens: Its length, without the token that ends it.
        cut: Whether it ended because it had become too long.
    """

    text: str
    tokens: int
    cut: bool


class Generator:
    """Answers questions with one model.

    Args:
        model: A model of transformers, or one with an adapter of peft on it.
        tokenizer: Its tokenizer.
        bound: Format that questions are asked in; None for plain text.
        options: How an answer is chosen.
        name: What the model is known by.
        weights: Which weights it has; see `which.weights_of`.

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
        name: str = "",
        weights: str = "",
    ) -> None:
        self.options = options or GenerationOptions()
        self.name = name
        self.weights = weights
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
        self._padded: bool | None = None
        # What the model's folder suggests must not mix with what was asked for.
        model.generation_config = GenerationConfig(eos_token_id=self._eos or None)

    @property
    def has_adapter(self) -> bool:
        """Whether the base model can answer as well, without what was trained."""
        return hasattr(self._model, "disable_adapter")

    def prompt_ids(self, prompt: Prompt) -> list[int]:
        """Token ids that the model is given for a question or a conversation.

        Raises:
            DataError: the format has no place for the messages.
        """
        return self.segment_ids(segments_of(prompt, self.bound))

    def segment_ids(self, segments: Sequence[Segment]) -> list[int]:
        """Token ids that the model is given for segments of a prompt."""
        return self.all_segment_ids([segments])[0]

    def all_segment_ids(self, prompts: Sequence[Sequence[Segment]]) -> list[list[int]]:
        """The same for many prompts."""
        batch = SegmentBatch()
        for segments in prompts:
            batch.add(list(segments))
        rows, _ = tokenize(batch, self._encoder)
        ids = [rows.input_ids[a:b].tolist() for a, b in pairwise(rows.offsets.tolist())]
        return [self._landmarks.prompt(prompt) for prompt in ids]

    def stream(
        self, prompt: Prompt, *, options: GenerationOptions | None = None, base: bool = False
    ) -> Stream[str]:
        """The answer to a question or a conversation, in pieces as they come.

        Args:
            prompt: The question, or messages with `role` and `content`.
            options: How it is chosen, in place of the generator's own.
            base: Whether the base model answers, without its adapter.

        Raises:
            DataError: the prompt is empty, longer than the model allows, or none that the format
                can ask.
        """
        how = options or self.options
        own = replace(how, seed=seed_of(how.seed, self._number(1)))
        return _said(self.stream_ids(self.prompt_ids(prompt), own, base=base))

    def stream_ids(
        self, ids: list[int], options: GenerationOptions, *, base: bool = False
    ) -> Stream[str]:
        """The answer to a prompt of tokens: for each of its tokens the text that it makes certain.

        Args:
            ids: The prompt.
            options: How this answer is chosen; its seed is that of this answer alone.
            base: Whether the base model answers, without its adapter.

        Raises:
            DataError: the prompt is empty, or longer than the model allows.
        """
        how, inputs = self._library_options([ids], options), self._inputs([ids])
        chosen = self._processors(inputs, options, [options.seed])

        def generate(**extra: Any) -> None:
            with self._model.disable_adapter() if base else nullcontext():
                self._model.generate(**inputs, generation_config=how, **chosen, **extra)

        return self._pieces(stream_tokens(generate), how, options.stop)

    def answer(self, prompt: Prompt) -> str:
        """The whole answer to one question.

        Raises:
            DataError: as `stream`.
        """
        return "".join(self.stream(prompt))

    def answers(self, prompts: Sequence[Prompt]) -> list[str]:
        """Answers to many questions, several at a time.

        Raises:
            DataError: as `stream`.
        """
        ids = self.all_segment_ids([segments_of(prompt, self.bound) for prompt in prompts])
        first = self._number(len(ids))
        done: dict[int, str] = {}
        for which in self.batches([len(prompt) for prompt in ids], BATCH_PROMPTS):
            numbers = [first + i for i in which]
            made = self.batch_ids([ids[i] for i in which], self.options, numbers=numbers)
            done.update(zip(which, (answer.text for answer in made), strict=True))
        return [done[i] for i in range(len(ids))]

    def batches(self, lengths: Sequence[int], most: int) -> list[list[int]]:
        """Which of many prompts are answered together so that each has the answer it has alone.

        Args:
            lengths: Tokens of each prompt.
            most: How many may be answered at a time.
        """
        limit = position_limit(self._model)
        room = None if limit is None else limit - self.options.max_new_tokens
        if self._padded is None and len(lengths) > 1:
            self._padded = answers_alike_with_padding(self._model, self._pad)
            if not self._padded:
                note_once("padding disturbs this model: prompts are answered one at a time")
        return batches_of(lengths, most=1 if self._padded is False else most, room_tokens=room)

    def batch_ids(
        self, prompts: Sequence[list[int]], options: GenerationOptions, *, numbers: Sequence[int]
    ) -> list[Answer]:
        """Answers to a few prompts of tokens, made together.

        Args:
            prompts: The prompts.
            options: How the answers are chosen.
            numbers: Number of each answer, which with the seed decides its draws.

        Raises:
            DataError: as `stream_ids`.
        """
        how, inputs = self._library_options(prompts, options), self._inputs(prompts)
        width = inputs["input_ids"].shape[1]
        seeds = [seed_of(options.seed, number) for number in numbers]
        chosen = self._processors(inputs, options, seeds)
        if options.stop:
            chosen["stopping_criteria"] = [StopTexts(options.stop, self._decode, width)]
        output = self._model.generate(**inputs, generation_config=how, **chosen)
        return [self._made(row, options) for row in output[:, width:].tolist()]

    def _made(self, ids: list[int], options: GenerationOptions) -> Answer:
        end = next((place for place, token in enumerate(ids) if token in self._eos), None)
        kept = self._landmarks.answer(ids[:end])[: options.max_new_tokens]
        text, stopped = before_stop(self._decode(kept), options.stop)
        return Answer(text, len(kept), cut=end is None and not stopped)

    def _pieces(
        self, tokens: Stream[int], how: GenerationConfig, stops: Sequence[str]
    ) -> Stream[str]:
        text, stop = TextSoFar(self._decode), StopInPieces(stops)
        self.cut, self.tokens = False, 0
        with closing(tokens):
            for count, token in enumerate(tokens, start=1):
                # An end token is no text, also where the tokenizer does not know it for one.
                if token in self._eos:
                    break
                self.cut = count == how.max_new_tokens
                if self._landmarks.is_landmark(token):
                    continue
                self.tokens += 1
                yield stop.add(text.add(token))
                if stop.found:
                    self.cut = False
                    return
        rest = stop.add(text.rest())
        if piece := rest + stop.rest():
            yield piece
        self.cut = self.cut and not stop.found

    def _processors(
        self, inputs: dict[str, torch.Tensor], options: GenerationOptions, seeds: Sequence[int]
    ) -> dict[str, Any]:
        """What `generate` is given besides: landmarks at their places, and the draw of tokens."""
        more = self._landmarks.library_options(inputs["attention_mask"])
        if options.greedy:
            return more
        known = more.get("logits_processor", [])
        return {"logits_processor": LogitsProcessorList([*known, Draw(options, seeds)])}

    def _inputs(self, ids: Sequence[list[int]]) -> dict[str, torch.Tensor]:
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
        self, ids: Sequence[list[int]], options: GenerationOptions
    ) -> GenerationConfig:
        for prompt in ids:
            self.check_room(prompt)
        longest = max(map(len, ids))
        tokens = self._landmarks.tokens_for(ids, options.max_new_tokens)
        limit = position_limit(self._model)
        if limit is not None and longest + tokens > limit:
            note_once(f"answers end where prompt and answer fill the model's {limit} positions")
            tokens = limit - longest
        return options.for_library(eos=self._eos, pad=self._pad, max_new_tokens=tokens)

    def check_room(self, ids: list[int]) -> None:
        """Refuse a prompt of tokens that cannot be answered.

        Raises:
            DataError: it is empty, or leaves no room for an answer.
        """
        if not ids:
            raise DataError("the prompt is empty", hint="write a question")
        limit = position_limit(self._model)
        if limit is not None and len(ids) >= limit:
            raise DataError(
                f"the prompt has {len(ids)} tokens, and the model only {limit} positions",
                hint="shorten it",
            )

    def _number(self, count: int) -> int:
        """Number of the next answer, of which `count` are made now."""
        self._answers += count
        return self._answers - count

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
    found = find_answering(resolved, base=base, merged=merged)
    tokenizer = found.tokenizer()
    bound = choose_format(
        prompter, run=found.run, options=resolved, encoder=Encoder(tokenizer), saved=not base
    )
    quantized = bits_of(resolved, found, base=base)
    weights = weights_of(found) + (f", held as {quantized.kind}" if quantized else "")
    model = found.open(
        dtype=base_dtype(resolved),
        tokenizer=tokenizer,
        quantized=quantized,
        rope_scaling=resolved.attention.rope_scaling,
    )
    if torch.cuda.is_available():
        model = model.to("cuda")
    return Generator(model, tokenizer, bound=bound, options=how, name=found.name, weights=weights)
