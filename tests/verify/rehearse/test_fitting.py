"""Rows of the real run fit into the short sequences of a rehearsal, and stay rows of their type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from axolotl.data.encoder import Encoder
from axolotl.formats import BoundFormat, Shared, bind
from axolotl.templates.named import named_template
from axolotl.verify.rehearse.fitting import Fitting
from axolotl.verify.rehearse.tokenizer import kind_of, small_tokenizer

WORDS = "There are many ways to say what the colours of a house are, and here is one more. "
TOKENS = 512


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    kind = kind_of("llama", "meta-llama/Llama-2-7b-hf")
    return Encoder(small_tokenizer(kind, template=named_template("chatml")))


def of_type(kind: str, encoder: Encoder) -> BoundFormat:
    shared = Shared(
        train_on_inputs=False,
        prompt_templates="canonical",
        chat_template="chatml",
        tokenizer=encoder.facts(),
    )
    return bind(kind, shared=shared)


def length(bound: BoundFormat, row: Mapping[str, Any], encoder: Encoder) -> int:
    segments = bound.segments(row)
    assert any(s.train and s.text for s in segments), "nothing of it is trained"
    return int(encoder.encode([s.text for s in segments])[1].sum())


def chat(turns: int, *, first: list[dict[str, str]], text: str) -> dict[str, Any]:
    said = [{"role": ("user", "assistant")[i % 2], "content": f"{i}: {text}"} for i in range(turns)]
    return {"messages": first + said}


SYSTEM = [{"role": "system", "content": WORDS * 3}]
LONG: dict[str, tuple[str, dict[str, Any]]] = {
    "a long answer": ("alpaca", {"instruction": "Say it.", "input": "", "output": WORDS * 50}),
    "600 characters": ("alpaca", {"instruction": "Say it.", "output": (WORDS * 8)[:600]}),
    "three long texts": (
        "alpaca",
        {"instruction": WORDS * 20, "input": WORDS * 20, "output": WORDS * 20},
    ),
    "ten turns": ("chat_template", chat(10, first=[], text=WORDS)),
    "ten turns behind a system's": ("chat_template", chat(10, first=SYSTEM, text=WORDS * 2)),
    "sixty long turns": ("chat_template", chat(60, first=[], text=WORDS * 9)),
    "letters that a small tokenizer has as bytes": (
        "alpaca",
        {"instruction": "説明してください" * 40, "output": "これは長い文章です。" * 90},
    ),
    "JSON": ("alpaca", {"instruction": "Say it.", "output": "[" + "1, 2, " * 900 + "3]"}),
}


@pytest.mark.parametrize("name", LONG)
def test_a_long_row_is_cut_until_it_shares_a_sequence(name: str, encoder: Encoder) -> None:
    kind, row = LONG[name]
    bound = of_type(kind, encoder)
    assert length(bound, row, encoder) > TOKENS // 2
    cut = Fitting(bound, encoder, tokens=TOKENS).fitted(row)
    assert cut is not None
    assert length(bound, cut, encoder) <= TOKENS // 2
    assert cut.keys() == row.keys()


@pytest.mark.parametrize(("turns", "first"), [(10, []), (10, SYSTEM), (11, []), (40, SYSTEM)])
def test_a_chat_keeps_its_beginning_and_ends_as_it_ended(
    turns: int, first: list[dict[str, str]], encoder: Encoder
) -> None:
    row = chat(turns, first=first, text=WORDS * 4)
    cut = Fitting(of_type("chat_template", encoder), encoder, tokens=TOKENS).fitted(row)
    assert cut is not None
    roles = [turn["role"] for turn in cut["messages"]]
    before = [turn["role"] for turn in row["messages"]]
    assert roles == before[: len(roles)]
    assert len(roles) < len(before)
    assert roles[-1] == before[-1]
    assert "assistant" in roles


def test_rows_that_fit_are_left_as_they_are(encoder: Encoder) -> None:
    fitting = Fitting(of_type("alpaca", encoder), encoder, tokens=TOKENS)
    row = {"instruction": "Say it.", "output": "It is."}
    assert fitting.fitted(row) is row


def test_rows_that_the_run_will_tell_of_are_left_as_they_are(encoder: Encoder) -> None:
    bound = of_type("alpaca", encoder)
    lacking = {"question": WORDS * 90}
    untrained = {"instruction": WORDS * 90, "output": ""}
    fitting = Fitting(bound, encoder, tokens=TOKENS, dropped_above=2_000)
    assert fitting.fitted(lacking) is lacking
    too_long = {"instruction": "Say it.", "output": WORDS * 900}
    assert fitting.fitted(too_long) is too_long, "the run drops it, too"
    assert fitting.fitted(untrained) is untrained


def test_a_row_that_no_cut_makes_fit_is_none(encoder: Encoder) -> None:
    fitting = Fitting(of_type("alpaca", encoder), encoder, tokens=16)
    assert fitting.fitted({"instruction": WORDS, "output": WORDS}) is None


def test_rows_of_tokens_keep_some_that_are_trained(encoder: Encoder) -> None:
    row = {
        "input_ids": list(range(4_000)),
        "labels": [-100] * 3_000 + list(range(3_000, 4_000)),
        "attention_mask": [1] * 4_000,
        "source": "x",
    }
    cut = Fitting(None, encoder, tokens=TOKENS).fitted(row)
    assert cut is not None
    assert {len(cut[name]) for name in ("input_ids", "labels", "attention_mask")} == {TOKENS // 2}
    assert cut["labels"][-1] == cut["input_ids"][-1]
    assert cut["source"] == "x"
