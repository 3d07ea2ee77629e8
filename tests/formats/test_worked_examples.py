"""What every dataset type makes of a row, to the character: text and labels, in both wordings.

The facts are in `tests/fixtures/dataset_types.yaml`. They go the real way, from `bind` to tokens, with
a tokenizer that makes a token of every character.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from axolotl.data.encoder import Encoder
from axolotl.data.pretokenized import TokenBatch
from axolotl.data.tokenize import Limits, SegmentBatch, TokenRows, fit, tokenize
from axolotl.formats import Shared, bind
from axolotl.records import IGNORE_INDEX
from axolotl.registry import available

FACTS: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parents[1] / "fixtures" / "dataset_types.yaml").read_text(encoding="utf-8")
)
WORDINGS = ("canonical", "2023-10")
WITHOUT_A_TABLE = {"chat_template", "input_output"}
"""Formats whose text is that of a template, which has tests of its own."""
SHOWN = {"<s>": "‹BOS›", "</s>": "‹EOS›"}  # noqa: RUF001


def base(kind: Any) -> str:
    return "custom" if isinstance(kind, dict) else kind.replace(":", ".").partition(".")[0]


TYPED = [fact for fact in FACTS if fact["type"] is not None]
CASES = [(fact, wording) for fact in TYPED for wording in WORDINGS]


def characters(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from characters(name)
            yield from characters(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from characters(inner)
    elif isinstance(value, str):
        yield from value


@cache
def tokenizer() -> Any:
    """A token for every character; `<s>` comes in front of a text."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = sorted({*characters(FACTS), *map(chr, range(32, 127)), "\n"})
    vocabulary = {text: number for number, text in enumerate([*SHOWN, *letters])}
    core = Tokenizer(models.WordLevel(vocabulary))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    core.decoder = decoders.Fuse()
    core.add_special_tokens(list(SHOWN))
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>")


@cache
def encoder() -> Encoder:
    return Encoder(tokenizer())


def notation(rows: TokenRows) -> str:
    """Tokens as the table writes them."""
    vocabulary: dict[str, int] = tokenizer().get_vocab()
    texts = {number: SHOWN.get(text, text) for text, number in vocabulary.items()}
    ids, labels = rows.input_ids.tolist(), rows.labels.tolist()
    assert all(label in (IGNORE_INDEX, token) for token, label in zip(ids, labels, strict=True))
    written: list[str] = []
    for begin, end in pairwise(rows.offsets.tolist()):
        runs = groupby(range(begin, end), key=lambda at: labels[at] != IGNORE_INDEX)
        parts = [(trained, "".join(texts[ids[at]] for at in run)) for trained, run in runs]
        written.append("".join(f"⟦{text}⟧" if trained else text for trained, text in parts))
    return " || ".join(written)


def rows_of(fact: Mapping[str, Any], wording: str) -> TokenRows:
    shared = Shared(
        train_on_inputs=fact.get("train_on_inputs", False),
        prompt_templates=wording,
        tokenizer=encoder().facts(),
    )
    bound = bind(fact["type"], settings=fact.get("settings"), shared=shared)
    batch = SegmentBatch()
    batch.add(bound.segments(fact["row"]))
    rows, _ = tokenize(batch, encoder())
    limits = Limits(fact.get("sequence_len", 10_000))
    return fit(rows, limits, long_rows=bound.long_rows).rows


def name(part: Any) -> str | None:
    return base(part["type"]) if isinstance(part, dict) else part


@pytest.mark.parametrize(("fact", "wording"), CASES, ids=name)
def test_text_and_labels(fact: dict[str, Any], wording: str) -> None:
    assert notation(rows_of(fact, wording)) == fact.get("text", fact.get(wording))


@pytest.mark.parametrize("fact", [fact for fact in FACTS if fact["type"] is None], ids=str)
def test_rows_that_are_tokens_already(fact: dict[str, Any]) -> None:
    batch = TokenBatch(vocabulary=100)
    batch.add(fact["row"])
    assert batch.rows().input_ids.tolist() == fact["ids"]
    assert batch.rows().labels.tolist() == fact["labels"]


def test_the_table_has_every_type() -> None:
    known = {base(fact["type"]) for fact in TYPED}
    assert known == set(available("axolotl.formats")) - WITHOUT_A_TABLE
    assert len(FACTS) >= 69
