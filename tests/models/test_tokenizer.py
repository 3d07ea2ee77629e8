"""Where a tokenizer comes from, and what the file adds to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from axolotl.config.model import ModelSection
from axolotl.models.tokenizer import load_tokenizer, save_early


def test_a_folder_with_a_tokenizer_needs_no_model(
    tiny_model: Path, tokenizer: Any, tmp_path: Path
) -> None:
    tokenizer.save_pretrained(tmp_path / "words")
    loaded = load_tokenizer(
        ModelSection(base_model=str(tiny_model), tokenizer_config=str(tmp_path / "words"))
    )
    assert loaded("so be it")["input_ids"] == tokenizer("so be it")["input_ids"]


def test_the_tokens_of_the_file_are_added_once(tiny_model: Path, tmp_path: Path) -> None:
    section = ModelSection(
        base_model=str(tiny_model), special_tokens={"pad_token": "<|pad|>"}, tokens=["<tool>"]
    )
    loaded = load_tokenizer(section)
    plain = load_tokenizer(ModelSection(base_model=str(tiny_model)))
    assert len(loaded) == len(plain) + 2
    assert loaded.pad_token == "<|pad|>"
    assert len(loaded("<tool>", add_special_tokens=False)["input_ids"]) == 1
    loaded.save_pretrained(tmp_path / "saved")
    again = load_tokenizer(section.model_copy(update={"tokenizer_config": str(tmp_path / "saved")}))
    assert again.get_vocab() == loaded.get_vocab()


def test_it_is_saved_before_the_training_but_not_into_an_earlier_result(
    tokenizer: Any, tmp_path: Path
) -> None:
    save_early(tokenizer, tmp_path)
    assert (tmp_path / "tokenizer.json").exists()
    (tmp_path / "adapter_config.json").touch()
    (tmp_path / "tokenizer.json").write_text("the earlier one")
    save_early(tokenizer, tmp_path)
    assert (tmp_path / "tokenizer.json").read_text() == "the earlier one"
