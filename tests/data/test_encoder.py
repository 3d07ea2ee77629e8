from typing import Any, ClassVar

import numpy as np
import pytest

from axolotl.data.encoder import Encoder
from axolotl.errors import ModelError
from tests.conftest import build_tokenizer

TEXTS = ["Name three colours.", "", "é漢字😀", " \n", "Red</s>", "<s>"]


def test_ids_are_the_tokenizers_own(tokenizer: Any) -> None:
    flat, counts = Encoder(tokenizer).encode(TEXTS)
    expected = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in TEXTS]
    assert flat.dtype == np.int32
    assert flat.tolist() == [i for ids in expected for i in ids]
    assert counts.tolist() == [len(ids) for ids in expected]
    assert Encoder(tokenizer).encode([])[0].tolist() == []


def test_prefix_is_what_the_tokenizer_adds_itself(tokenizer: Any, bos_tokenizer: Any) -> None:
    assert Encoder(tokenizer).prefix == []
    assert Encoder(bos_tokenizer).prefix == [bos_tokenizer.bos_token_id]


def test_truncation_and_padding_of_the_tokenizer_are_off() -> None:
    changed = build_tokenizer()
    plain, found = Encoder(build_tokenizer()), Encoder(changed)
    changed.backend_tokenizer.enable_truncation(2)
    changed.backend_tokenizer.enable_padding(length=9)
    assert found.encode(TEXTS)[1].tolist() == plain.encode(TEXTS)[1].tolist()
    assert Encoder(changed).identity() == plain.identity()


def test_identity_sees_what_changes_rows(tokenizer: Any, bos_tokenizer: Any) -> None:
    more, other_end = build_tokenizer(), build_tokenizer()
    more.add_tokens(["colours"])
    other_end.eos_token = "<pad>"
    found = [Encoder(t).identity() for t in (tokenizer, bos_tokenizer, more, other_end)]
    assert all(a != b for i, a in enumerate(found) for b in found[:i])
    assert Encoder(build_tokenizer()).identity() == Encoder(tokenizer).identity()


def test_no_end_token() -> None:
    bare = build_tokenizer()
    bare.eos_token = None
    with pytest.raises(ModelError, match=r"no end token[^$]*special_tokens"):
        _ = Encoder(bare).eos


class Slow:
    """A tokenizer without a Rust part: one id per character."""

    eos_token_id = 1
    special_tokens_map: ClassVar[dict[str, str]] = {}
    added_tokens_decoder: ClassVar[dict[int, Any]] = {}
    init_kwargs: ClassVar[dict[str, Any]] = {}

    def __call__(self, text: str | list[str], add_special_tokens: bool = True) -> dict[str, Any]:
        if isinstance(text, list):
            return {"input_ids": [self(t, add_special_tokens)["input_ids"] for t in text]}
        return {"input_ids": [0] * add_special_tokens + [ord(c) for c in text]}

    def get_vocab(self) -> dict[str, int]:
        return {chr(i): i for i in range(128)}


def test_a_tokenizer_without_a_rust_part(capsys: pytest.CaptureFixture[str]) -> None:
    slow = Encoder(Slow())
    flat, counts = slow.encode(["ab", "", "c"])
    assert (flat.tolist(), counts.tolist()) == ([97, 98, 99], [2, 0, 1])
    assert slow.prefix == [0]
    assert slow.vocabulary == 128
    assert slow.identity() == Encoder(Slow()).identity()
    assert not slow.control_pattern.search("anything")
