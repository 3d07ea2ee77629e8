"""Tokens in reserve get new texts, and nothing else changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from axolotl.config.load import load_config
from axolotl.config.model import ModelSection
from axolotl.errors import ModelError
from axolotl.models.tokenizer import load_tokenizer, new_tokens
from tests.conftest import build_tokenizer

RESERVED = ["<|reserved_0|>", "<|reserved_1|>", "<|reserved_2|>"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer with three tokens in reserve, behind all others."""
    where = tmp_path_factory.mktemp("reserved")
    tokenizer = build_tokenizer()
    tokenizer.add_tokens(RESERVED, special_tokens=True)
    tokenizer.save_pretrained(where)
    return where


def load(folder: Path, **overrides: str) -> Any:
    return load_tokenizer(
        ModelSection(
            base_model="x",
            tokenizer_config=str(folder),
            added_tokens_overrides={key.removeprefix("t"): text for key, text in overrides.items()},
        )
    )


def test_added_tokens_overrides_renames_tokens_in_reserve(folder: Path, tmp_path: Path) -> None:
    plain = load(folder)
    number = plain.convert_tokens_to_ids("<|reserved_1|>")
    loaded = load(folder, **{f"t{number}": "<|tool|>"})
    assert len(loaded) == len(plain)
    assert loaded("<|tool|>x", add_special_tokens=False)["input_ids"][0] == number
    assert loaded.decode([number]) == "<|tool|>"
    assert loaded.added_tokens_decoder[number].special
    assert len(loaded("<|reserved_1|>", add_special_tokens=False)["input_ids"]) > 1
    assert loaded.convert_tokens_to_ids("<|reserved_2|>") == number + 1
    loaded.save_pretrained(tmp_path)
    assert load(tmp_path).get_vocab() == loaded.get_vocab()
    assert new_tokens(
        ModelSection(
            base_model="x",
            tokenizer_config=str(folder),
            added_tokens_overrides={str(number): "<|tool|>"},
            tokens=["<|tool|>", "<|more|>"],
        )
    ) == ["<|more|>"]


def test_tokens_of_the_vocabulary_itself_are_renamed_there_too(tmp_path: Path) -> None:
    tokenizer = build_tokenizer()
    tokenizer.pad_token = "</s>"
    tokenizer.save_pretrained(tmp_path)
    loaded = load(tmp_path, t0="<|spare|>")
    assert loaded.get_vocab()["<|spare|>"] == 0
    assert "<pad>" not in loaded.get_vocab()


def test_the_numbers_of_a_file_are_read(tmp_path: Path) -> None:
    file = tmp_path / "a.yml"
    file.write_text(
        "base_model: x\ndatasets: [{path: a, type: alpaca}]\nadded_tokens_overrides: {7: <t>}\n"
    )
    assert load_config(file).model.added_tokens_overrides == {"7": "<t>"}


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ({"t9": "<t>"}, r"overrides\.9: 9 is not the number.*such are \d+ \('<\|reserved_0"),
        ({"tx": "<t>"}, r"x is not the number of a token"),
        ({"t2": "<t>"}, r"token 2 is the tokenizer's eos_token, '</s>'"),
    ],
)
def test_only_tokens_in_reserve_can_be_renamed(
    folder: Path, overrides: dict[str, str], told: str
) -> None:
    with pytest.raises(ModelError, match=f"(?s){told}"):
        load(folder, **overrides)


def test_no_two_tokens_have_the_same_text(folder: Path) -> None:
    first = load(folder).convert_tokens_to_ids(RESERVED[0])
    with pytest.raises(ModelError, match=r"'<s>' is a token already, number 1"):
        load(folder, **{f"t{first}": "<s>"})
    with pytest.raises(ModelError, match="two tokens would have the same text"):
        load(folder, **{f"t{first}": "<t>", f"t{first + 1}": "<t>"})
