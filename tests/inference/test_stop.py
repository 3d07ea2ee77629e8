"""Texts that end an answer: found wherever they are broken, and never part of it."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from axolotl.inference.stop import StopInPieces, StopTexts, before_stop


def in_pieces(pieces: list[str], stops: list[str]) -> tuple[str, bool]:
    text = StopInPieces(stops)
    given = "".join(text.add(piece) for piece in pieces) + text.rest()
    return given, text.found


@pytest.mark.parametrize("stops", [[], ["ab"], ["aab", "b"], ["aaab"], ["ba", "bb"], ["aa"]])
def test_pieces_end_where_the_whole_text_does(stops: list[str]) -> None:
    chance = random.Random(0)
    for _ in range(300):
        pieces = ["".join(chance.choices("ab", k=chance.randrange(4))) for _ in range(6)]
        wanted = before_stop("".join(pieces), stops)
        given = in_pieces(pieces, stops)
        assert given[1] == wanted[1]
        assert given[0] == wanted[0]


def test_what_begins_no_stop_text_is_given_out_at_once() -> None:
    text = StopInPieces(["###"])
    assert [text.add(piece) for piece in ("Red, ", "green #", "1", "##", "#")] == [
        "Red, ",
        "green ",
        "#1",
        "",
        "",
    ]
    assert text.found
    assert text.add("more") == text.rest() == ""


def test_rows_of_a_batch_end_by_themselves(tokenizer: Any) -> None:
    stops = ["colours", "fox"]
    texts = ["Name three colours.", "the quick brown dog", "brown fox jumps"]
    rows = [tokenizer(text)["input_ids"] for text in texts]
    width = max(map(len, rows))
    prompt = [5, 6]
    ids = torch.tensor([prompt + [0] * (width - len(row)) + row for row in rows])
    ends = StopTexts(stops, tokenizer.decode, len(prompt))
    assert ends(ids, None).tolist() == [True, False, True]
    more = torch.cat([ids, torch.zeros((3, 40), dtype=torch.long)], dim=1)
    assert ends(more, None).tolist() == [True, False, True], "padding does not begin them again"
    assert ends.ended == {0: width, 2: width}


def test_a_stop_text_in_the_prompt_counts_for_nothing(tokenizer: Any) -> None:
    prompt = tokenizer("the quick fox")["input_ids"]
    ids = torch.tensor([prompt + tokenizer(" dog")["input_ids"]])
    assert StopTexts(["fox"], tokenizer.decode, len(prompt))(ids, None).tolist() == [False]
    assert StopTexts(["fox"], tokenizer.decode, 0)(ids, None).tolist() == [True]
