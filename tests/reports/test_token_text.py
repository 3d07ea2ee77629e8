from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from axolotl.reports.token_text import TokenTexts

TEXTS = ["Red, green and blue.", " été", "漢字 and 👩‍🚀!", "a\n\n\tb", "\ufffd real", "نص"]


def sentence_pieces() -> Any:
    """Spaces stand before words as ▁, and bytes that are no word's are tokens, as with Llama 2."""
    words = ["<unk>", "▁a", "▁Red", "d", "a", *(f"<0x{byte:02X}>" for byte in range(256))]
    core = Tokenizer(models.BPE({w: i for i, w in enumerate(words)}, [], byte_fallback=True))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>")


def pieces(texts: TokenTexts, ids: list[int]) -> list[str]:
    """What is shown for each token; those that share a character show it once."""
    found = [texts.of(token) for token in ids]
    for first, count, text in texts.groups(ids):
        found[first : first + count] = [text] + [""] * (count - 1)
    return found


@pytest.mark.parametrize("text", TEXTS)
def test_the_texts_of_all_tokens_are_the_text(tokenizer: Any, text: str) -> None:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    found = pieces(TokenTexts(tokenizer), ids)
    assert "".join(found).replace("\ufffd", "") == text.replace("\ufffd", "")


def test_tokens_that_share_a_character_are_one_group(tokenizer: Any) -> None:
    ids = tokenizer("a漢👩.", add_special_tokens=False)["input_ids"]
    assert [(count, text) for _, count, text in TokenTexts(tokenizer).groups(ids)] == [
        (3, "漢"),
        (4, "👩"),
    ]


def test_bytes_that_are_no_text_stand_alone(tokenizer: Any) -> None:
    ids = tokenizer("漢字", add_special_tokens=False)["input_ids"]
    texts = TokenTexts(tokenizer)
    assert [text for *_, text in texts.groups(ids[:5])] == ["漢"]
    assert texts.groups(ids[1:3]) == []


def test_spaces_stay_with_their_word_where_decoding_alone_would_strip_them() -> None:
    tokenizer = sentence_pieces()
    red = tokenizer.convert_tokens_to_ids("▁Red")
    assert tokenizer.decode([red]) == "Red"
    texts = TokenTexts(tokenizer)
    assert texts.of(red) == " Red"
    e_acute = [tokenizer.convert_tokens_to_ids(name) for name in ("<0xC3>", "<0xA9>")]
    assert texts.groups(e_acute) == [(0, 2, "é")]
