"""Begin and end tokens: the first at most once, the second once where a turn ends, with any tokenizer."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from axolotl.data.encoder import Encoder
from axolotl.data.tokenize import SegmentBatch, tokenize
from axolotl.errors import ModelError
from axolotl.formats import Shared, bind
from axolotl.records import Segment
from axolotl.registry import available
from tests.conftest import build_tokenizer

FACTS: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parents[1] / "fixtures" / "dataset_types.yaml").read_text(encoding="utf-8")
)
THERE = set(available("axolotl.formats"))


def whole(fact: dict[str, Any]) -> bool:
    """Whether a fact is of a format that is there, and of one row."""
    kind = fact["type"]
    name = kind if isinstance(kind, str) else "custom"
    text = fact.get("text", fact.get("canonical"))
    there = name.replace(":", ".").partition(".")[0] in THERE
    return kind is not None and there and bool(text) and " || " not in text


ROWS = [fact for fact in FACTS if whole(fact)]
TOKENIZERS = {
    # name: (what the tokenizer puts around a text by itself, begin token, end token)
    "adds nothing": ("$A", "<s>", "</s>"),
    "adds a begin": ("<s> $A", "<s>", "</s>"),
    "adds both": ("<s> $A </s>", "<s>", "</s>"),
    "has no begin": ("$A", None, "</s>"),
    "begins with its end": ("$A", "</s>", "</s>"),
}


@cache
def encoder(name: str) -> Encoder:
    from tokenizers import processors

    around, begin, end = TOKENIZERS[name]
    tokenizer = build_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=around, special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    tokenizer.bos_token, tokenizer.eos_token = begin, end
    return Encoder(tokenizer)


def decoded(name: str, segments: list[Segment]) -> Any:
    batch = SegmentBatch()
    batch.add(segments)
    rows, _ = tokenize(batch, encoder(name))
    return build_tokenizer().decode(rows.input_ids.tolist())


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("fact", ROWS, ids=lambda fact: str(fact["type"])[:40])
def test_every_format_with_every_tokenizer(fact: dict[str, Any], name: str) -> None:
    shared = Shared(
        train_on_inputs=fact.get("train_on_inputs", False), tokenizer=encoder(name).facts()
    )
    bound = bind(fact["type"], settings=fact.get("settings"), shared=shared)
    wanted = str(fact.get("text", fact.get("canonical")))
    begin = "<s>" if TOKENIZERS[name][0].startswith("<s>") else ""
    for mark, text in (("⟦", ""), ("⟧", ""), ("‹BOS›", begin), ("‹EOS›", "</s>")):  # noqa: RUF001
        wanted = wanted.replace(mark, text)
    assert decoded(name, bound.segments(fact["row"])) == wanted


@pytest.mark.parametrize("name", ["adds nothing", "adds a begin", "adds both"])
@pytest.mark.parametrize("joined", [False, True])
def test_a_text_that_brings_its_own_begin_and_end_gets_no_second_one(
    name: str, joined: bool
) -> None:
    parts = [
        Segment("<s>Hi? ", False, bos=True),
        Segment("Hello.</s>", True, eos=1, joined=joined),
        Segment("<s>Bye? ", False, joined=joined),
        Segment("Bye.", True, eos=1, joined=joined),
    ]
    wanted = "<s>Hi? Hello.</s><s>Bye? Bye.</s>"
    assert decoded(name, parts) == wanted


def test_a_format_that_ends_answers_needs_an_end_token() -> None:
    tokenizer = build_tokenizer()
    tokenizer.eos_token = None
    batch = SegmentBatch()
    batch.add([Segment("Hello.", True, eos=1)])
    with pytest.raises(ModelError, match=r"no end token(?s:.*)special_tokens: \{eos_token"):
        tokenize(batch, Encoder(tokenizer))
    batch = SegmentBatch()
    batch.add([Segment("Hello.", True)])
    rows, _ = tokenize(batch, Encoder(tokenizer))
    assert rows.input_ids.size, "a text without an end needs none"
