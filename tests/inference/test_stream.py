"""Text as it comes is the text of the whole, and nothing is left running."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models

from axolotl.inference.stream import TextSoFar, stream_tokens

TEXTS = [
    "naïve café — 東京 🦎",
    "a\n  b\n\n",
    "🏳️‍🌈",
    " leading",
    "\N{REPLACEMENT CHARACTER} itself",
]


def pieces(decode: Any, ids: list[int]) -> list[str]:
    text = TextSoFar(decode)
    return [*(text.add(token) for token in ids), text.rest()]


@pytest.mark.parametrize("text", TEXTS)
def test_no_piece_holds_half_a_character(tokenizer: Any, text: str) -> None:
    ids = tokenizer(text)["input_ids"]
    got = pieces(tokenizer.decode, ids)
    assert "".join(got) == text
    assert all(set(piece) <= set(text) for piece in got)
    assert len([piece for piece in got if piece]) > 1, "it did not come in pieces"


def test_any_tokens_give_the_text_of_the_whole(tokenizer: Any) -> None:
    chance = random.Random(0)
    for _ in range(200):
        ids = [chance.randrange(3, len(tokenizer)) for _ in range(12)]
        assert "".join(pieces(tokenizer.decode, ids)) == tokenizer.decode(ids)


def test_a_tokenizer_that_eats_the_first_space_keeps_all_others() -> None:
    words = {"▁so": 0, "▁be": 1, "it": 2, "\n": 3, "▁": 4}
    core = Tokenizer(models.WordLevel(words, unk_token="it"))
    core.decoder = decoders.Metaspace()
    ids = [0, 1, 2, 3, 4, 1, 0]
    assert "".join(pieces(core.decode, ids)) == core.decode(ids) == "so beit\n  be so"


def make(tokens: list[int]) -> Any:
    """What `model.generate` does with a streamer, token by token."""

    def generate(streamer: Any, stopping_criteria: Any) -> None:
        streamer.put(torch.tensor([[7, 8, 9]]))  # the prompt
        for token in tokens:
            streamer.put(torch.tensor([token]))
            if stopping_criteria[0](torch.zeros(1, 1), None).all():
                return
        streamer.end()

    return generate


def answering() -> bool:
    return any(thread.name == "answer" for thread in threading.enumerate())


def test_tokens_come_without_the_prompt() -> None:
    assert list(stream_tokens(make([1, 2, 3]))) == [1, 2, 3]
    assert not answering()


def test_an_error_reaches_the_reader() -> None:
    def generate(**_: Any) -> None:
        raise ValueError("no such device")

    with pytest.raises(ValueError, match="no such device"):
        list(stream_tokens(generate))
    assert not answering()


def test_whoever_stops_reading_stops_the_making() -> None:
    made: list[int] = []

    def endless() -> Iterator[int]:
        for token in range(10**9):
            made.append(token)
            yield token

    tokens = stream_tokens(make(endless()))  # pyright: ignore[reportArgumentType]
    next(tokens)
    with pytest.raises(KeyboardInterrupt):
        tokens.throw(KeyboardInterrupt)
    assert not answering()
    count = len(made)
    assert count == len(made) < 10**9
