"""`type: input_output`: texts with labels of their own."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from axolotl.data.encoder import Encoder
from axolotl.data.tokenize import SegmentBatch, tokenize
from axolotl.errors import DataError
from axolotl.formats import bind
from axolotl.records import IGNORE_INDEX
from tests.conftest import build_tokenizer

PARTS = [
    {"label": False, "text": "<s>Name three"},
    {"label": False, "text": " colours.\n"},
    {"label": True, "text": "Red"},
    {"label": True, "text": ", green.</s>"},
    {"label": False, "text": " More"},
]


def test_texts_are_put_together_as_they_are() -> None:
    row = {"segments": copy.deepcopy(PARTS)}
    segments = bind("input_output").segments(row)
    assert row == {"segments": PARTS}
    assert [(s.text, s.train) for s in segments] == [(p["text"], p["label"]) for p in PARTS]
    assert [s.joined for s in segments] == [False, True, True, True, True]
    assert not any(s.bos or s.eos for s in segments)


def test_tokens_are_those_of_the_whole_text_and_nothing_is_added() -> None:
    tokenizer = build_tokenizer(bos=True)
    encoder = Encoder(tokenizer)
    batch = SegmentBatch()
    batch.add(bind("input_output").segments({"segments": PARTS}))
    rows, _ = tokenize(batch, encoder)
    ids, labels = rows.input_ids.tolist(), rows.labels.tolist()
    text = "".join(str(part["text"]) for part in PARTS)
    assert ids == tokenizer(text, add_special_tokens=False)["input_ids"]
    kept = [i for i, label in zip(ids, labels, strict=True) if label != IGNORE_INDEX]
    assert tokenizer.decode(kept) == "Red, green.</s>"


def test_a_question_is_asked_as_it_is() -> None:
    (asked,) = bind("input_output").prompt("<s>Q: Why? A:")
    assert (asked.text, asked.train, asked.bos) == ("<s>Q: Why? A:", False, False)


@pytest.mark.parametrize(
    ("row", "message", "hint"),
    [
        ({"text": "a"}, r"no field 'segments' \(the row has: text\)", "segments"),
        ({"segments": None}, "'segments' is null", "list of segments"),
        ({"segments": "a"}, "'segments' is text .* not a list of segments", '"label": true'),
        ({"segments": []}, "'segments' is an empty list", "take the row out"),
        ({"segments": [5]}, "segment 1 is a number .* not an object", '"label": true'),
        ({"segments": [PARTS[0], {"text": "a"}]}, r"segment 2 has no 'label' \(it has: text\)", "label"),
        ({"segments": [{"label": True}]}, "segment 1 has no 'text'", "text"),
        ({"segments": [{}]}, r"segment 1 has no 'text' \(it has: nothing\)", "text"),
        ({"segments": [{"label": 1, "text": "a"}]}, "'label' of segment 1 is a number .* not true or false", "label"),
        ({"segments": [{"label": True, "text": None}]}, "'text' of segment 1 is null, not text", "text"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_used(row: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        bind("input_output").segments(row)
    assert re.search(hint, caught.value.hint or "")
