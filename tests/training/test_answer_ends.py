"""Which tokens end an answer, and where it is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import GenerationConfig

from axolotl.errors import ConfigError
from axolotl.records import IGNORE_INDEX, TokenRow
from axolotl.training.answer_ends import answer_ends, make_saveable, stop_at, write_stops
from tests.conftest import build_llama, build_tokenizer


@pytest.fixture(scope="module")
def chat_tokenizer() -> Any:
    tokenizer = build_tokenizer()
    tokenizer.add_tokens(["<|im_start|>", "<|im_end|>", "<|eom|>"], special_tokens=True)
    tokenizer.add_tokens(["<turn>"])
    return tokenizer


def row(tokenizer: Any, *pieces: tuple[str, bool]) -> TokenRow:
    """A sample of pieces that are trained, or not."""
    ids, labels = list[int](), list[int]()
    for text, train in pieces:
        found = tokenizer(text, add_special_tokens=False)["input_ids"]
        ids += found
        labels += found if train else [IGNORE_INDEX] * len(found)
    return TokenRow(np.array(ids, np.int32), np.array(labels, np.int32))


def names(tokenizer: Any, rows: list[TokenRow], **options: Any) -> list[str]:
    return tokenizer.convert_ids_to_tokens(answer_ends(tokenizer, rows, **options))


def test_the_end_token_comes_first_and_alone_where_answers_end_with_it(chat_tokenizer: Any) -> None:
    rows = [row(chat_tokenizer, ("Hi? ", False), ("Hello.</s>", True))] * 3
    assert names(chat_tokenizer, rows) == ["</s>"]


@pytest.mark.parametrize(
    "answer",
    [
        [("Hello.<|im_end|>", True), ("\n", False)],
        [("Hello.<|im_end|>\n", True)],
        [("Hello.<|im_end|>", True)],
        [("Hello.<|im_end|>\n", True), ("<|im_start|>user\n", False)],
        [("Hello.<|im_end|>\n</s>", True)],
    ],
)
def test_what_ends_the_trained_parts_is_found(
    chat_tokenizer: Any, answer: list[tuple[str, bool]]
) -> None:
    rows = [row(chat_tokenizer, ("<|im_start|>assistant\n", False), *answer)] * 3
    assert names(chat_tokenizer, rows) == ["</s>", "<|im_end|>"]


def test_a_turn_in_the_middle_counts_however_seldom_and_a_cut_does_not(chat_tokenizer: Any) -> None:
    plain = row(chat_tokenizer, ("Hi? ", False), ("Hello.</s>", True))
    calls = row(chat_tokenizer, ("f()<|eom|>", True), ("2", False), ("Two.</s>", True))
    cut = row(chat_tokenizer, ("Hi? ", False), ("Hello.</s><|im_start|>", True))
    assert names(chat_tokenizer, [plain] * 50 + [calls, cut]) == ["</s>", "<|eom|>"]


def test_ordinary_tokens_end_nothing_unless_they_were_added(chat_tokenizer: Any) -> None:
    rows = [row(chat_tokenizer, ("Hello.", True), (" Hi? ", False), ("Bye<turn>", True))]
    assert names(chat_tokenizer, rows) == ["</s>", "<turn>"]


def test_what_stands_before_the_end_token_by_itself_is_part_of_the_answer(
    chat_tokenizer: Any,
) -> None:
    plain = row(chat_tokenizer, ("Hi? ", False), ("Hello.</s>", True))
    rows = [row(chat_tokenizer, ("Hi? ", False), ("<turn>f()<turn></s>", True)), plain]
    rows += [row(chat_tokenizer, ("Hi? ", False), ("<turn>f()<turn>\n</s>", True))]
    assert names(chat_tokenizer, rows) == ["</s>"]


def test_eot_tokens_are_among_them(chat_tokenizer: Any) -> None:
    rows = [row(chat_tokenizer, ("Hello.</s>", True))]
    assert names(chat_tokenizer, rows, eot_tokens=["<|eom|>", "</s>"]) == ["</s>", "<|eom|>"]


def test_an_eot_token_is_one_token(chat_tokenizer: Any) -> None:
    with pytest.raises(ConfigError, match=r"eot_tokens\.1: '<\|eot_id\|>' is \d+ tokens") as caught:
        answer_ends(chat_tokenizer, [], eot_tokens=["</s>", "<|eot_id|>"])
    assert caught.value.key == "eot_tokens"


def test_no_end_token_and_no_rows_end_nothing() -> None:
    tokenizer = build_tokenizer()
    tokenizer.eos_token = None
    assert answer_ends(tokenizer, []) == []


def test_generation_stops_there_and_where_the_model_stopped_before(tmp_path: Path) -> None:
    model = build_llama()
    model.generation_config.eos_token_id = 7
    stop_at(model, [2, 5])
    assert model.generation_config.eos_token_id == [2, 5, 7]
    write_stops(model, tmp_path)
    assert not list(tmp_path.iterdir()), "a whole model writes it by itself"


def test_an_adapter_says_it_beside_its_weights(tmp_path: Path) -> None:
    from tests.artifacts.made import random_adapter

    model = random_adapter(build_llama(), tmp_path)
    stop_at(model, [2, 5])
    model.get_base_model().generation_config.temperature = 0.1
    write_stops(model, tmp_path)
    written = GenerationConfig.from_pretrained(tmp_path)
    assert written.eos_token_id == [2, 5]
    assert written.pad_token_id == 0


def test_sampling_options_of_the_base_are_saved_with_sampling_on(tmp_path: Path) -> None:
    model = build_llama()
    model.generation_config.temperature = 0.7
    with pytest.raises(ValueError, match="temperature"):
        model.save_pretrained(tmp_path)
    make_saveable(model)
    model.save_pretrained(tmp_path)
    assert GenerationConfig.from_pretrained(tmp_path).do_sample
    other = build_llama()
    make_saveable(other)
    assert not other.generation_config.do_sample
