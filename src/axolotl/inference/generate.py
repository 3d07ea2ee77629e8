"""Answers: streamed one by one, or many at a time."""

from __future__ import annotations

from collections.abc import Generator as Stream
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from typing import Any

from transformers import GenerationConfig, PreTrainedTokenizerBase

from axolotl.core.console import note_once
from axolotl.data.encoder import Encoder
from axolotl.data.tokenize import SegmentBatch, tokenize
from axolotl.formats import BoundFormat
from axolotl.inference.by_library import ByLibrary, OneByOne
from axolotl.inference.joining import turned_by_length, why_not_join
from axolotl.inference.making import Answer, Making, Row
from axolotl.inference.options import GenerationOptions
from axolotl.inference.padding import answers_alike_with_padding, batches_of
from axolotl.inference.prompt import Prompt, segments_of
from axolotl.inference.room import check_beginning, check_room
from axolotl.inference.sampling import seed_of
from axolotl.inference.stop import before_stop
from axolotl.inference.together import Engine, Together, answer_all
from axolotl.models.native.landmark.answers import LandmarkAnswers
from axolotl.records import Segment
from axolotl.training.generation import decode, end_tokens, position_limit

BATCH_PROMPTS = 8


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
        full: Whether that was because prompt and answer fill the model's positions.
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
        self.cut = self.full = False
        self.tokens = 0
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._encoder = Encoder(tokenizer)
        self._eos = end_tokens(model, tokenizer)
        self._pad = next((i for i in (tokenizer.pad_token_id, *self._eos) if isinstance(i, int)), 0)
        self._answers = 0
        self._landmarks = LandmarkAnswers(model)
        self._library = ByLibrary(
            model, tokenizer, ends=self._eos, pad=self._pad, landmarks=self._landmarks
        )
        # What the model's folder suggests must not mix with what was asked for.
        model.generation_config = GenerationConfig(eos_token_id=self._eos or None)

    @property
    def has_adapter(self) -> bool:
        """Whether the base model can answer as well, without what was trained."""
        return hasattr(self._model, "disable_adapter")

    @property
    def positions(self) -> int | None:
        """How many tokens prompt and answer may have together; None where there is no limit."""
        return position_limit(self._model)

    @property
    def why_cut(self) -> str:
        """How the last answer was cut, in words; empty where it was not."""
        if not self.cut:
            return ""
        said = f"cut after {self.tokens} token{'s' * (self.tokens != 1)}"
        full = f": prompt and answer fill the model's {self.positions} positions"
        return said + full * self.full

    def prompt_ids(self, prompt: Prompt) -> list[int]:
        """Token ids that the model is given for a question or a conversation.

        Raises:
            DataError: the format has no place for the messages.
        """
        return self.segment_ids(segments_of(prompt, self.bound))

    def read(self, prompt: Sequence[Segment]) -> list[int]:
        """Token ids that the model is given for segments of a prompt that leaves room for an answer.

        Raises:
            DataError: it is empty, or too long, which is known of a far too long one at once.
        """
        if self.positions is not None:
            check_beginning(prompt, self.positions, self.segment_ids)
        ids = self.segment_ids(prompt)
        check_room(len(ids), self.positions)
        return ids

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
        return self.stream_ids(self.prompt_ids(prompt), own, base=base)

    def stream_ids(
        self, ids: list[int], options: GenerationOptions, *, base: bool = False
    ) -> Stream[str]:
        """The answer to a prompt of tokens, in pieces as they come.

        Args:
            ids: The prompt.
            options: How this answer is chosen; its seed is that of this answer alone.
            base: Whether the base model answers, without its adapter.

        Raises:
            DataError: the prompt is empty, or longer than the model allows.
        """
        making = self.row(ids, options).making
        tokens = self._library.tokens(ids, options, most=making.most_made, base=base)
        return self._pieces(making, tokens)

    def row(self, ids: list[int], options: GenerationOptions) -> Row:
        """An answer to a prompt of tokens, of which none is made yet.

        Args:
            ids: The prompt.
            options: How it is chosen; its seed is that of this answer alone.

        Raises:
            DataError: as `stream_ids`.
        """
        room, positions = self._room([ids], options), self.positions
        making = Making(
            self._decode,
            ends=self._eos,
            stops=options.stop,
            most_tokens=options.max_new_tokens,
            most_made=room,
            landmarks=self._landmarks,
            positions=None if positions is None else positions - len(ids),
        )
        return Row(ids, options, making)

    def engine(self, places: int) -> Engine:
        """What makes the tokens of many answers: together, where that disturbs none of them.

        Args:
            places: How many are made at a time, if so.
        """
        if self.apart is None:
            return Together(self._model, self._pad, places=places)
        return OneByOne(self._library)

    @cached_property
    def apart(self) -> str | None:
        """Why answers that come and go cannot be made together; None where they can."""
        return why_not_join(self._model, self._pad)

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
        if len(lengths) < 2 or self.apart is None:
            return batches_of(lengths, most=most, room_tokens=None)
        limit = self.positions
        room = None if limit is None else limit - self.options.max_new_tokens
        return batches_of(lengths, most=most if self._padded else 1, room_tokens=room)

    @cached_property
    def _padded(self) -> bool:
        """Whether prompts that begin together can be answered together."""
        if turned_by_length(self._model.config):
            why = "the longest of several prompts turns the positions of all"
        elif answers_alike_with_padding(self._model, self._pad):
            return True
        else:
            why = "padding disturbs this model"
        note_once(f"{why}: prompts are answered one at a time")
        return False

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
        seeds = [seed_of(options.seed, number) for number in numbers]
        if len(prompts) > 1 and self.apart is None:
            rows = [
                self.row(ids, replace(options, seed=seed))
                for ids, seed in zip(prompts, seeds, strict=True)
            ]
            answer_all(self.engine(len(rows)), rows)
            return [row.answer() for row in rows]
        most = self._room(prompts, options)
        made = self._library.batch(prompts, options, seeds, most=most)
        return [self._made(prompt, ids, options) for prompt, ids in zip(prompts, made, strict=True)]

    def _made(self, prompt: list[int], ids: list[int], options: GenerationOptions) -> Answer:
        end = next((place for place, token in enumerate(ids) if token in self._eos), None)
        kept = self._landmarks.answer(ids[:end])[: options.max_new_tokens]
        text, stopped = before_stop(self._decode(kept), options.stop)
        cut = end is None and not stopped
        return Answer(text, len(kept), cut, full=cut and len(prompt) + len(ids) == self.positions)

    def _pieces(self, making: Making, tokens: Stream[int]) -> Stream[str]:
        self.cut, self.full, self.tokens = False, False, 0
        with closing(tokens):
            for token in tokens:
                piece = making.add(token)
                self.cut, self.full, self.tokens = making.cut, making.full, making.tokens
                if piece:
                    yield piece
                if making.ended:
                    return

    def _room(self, ids: Sequence[list[int]], options: GenerationOptions) -> int:
        """How many tokens are made for each of some prompts, landmarks among them."""
        for prompt in ids:
            check_room(len(prompt), self.positions)
        longest = max(map(len, ids))
        tokens = self._landmarks.tokens_for(ids, options.max_new_tokens)
        limit = self.positions
        if limit is None or longest + tokens <= limit:
            return tokens
        note_once(f"answers end where prompt and answer fill the model's {limit} positions")
        return limit - longest

    def _number(self, count: int) -> int:
        """Number of the next answer, of which `count` are made now."""
        self._answers += count
        return self._answers - count

    def _decode(self, ids: list[int]) -> str:
        return decode(self._tokenizer, ids)
