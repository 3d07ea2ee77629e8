"""A tokenizer as this project uses it: many pieces of text to one flat array of ids, in one call.

The Rust tokenizer is called directly, with truncation, padding and special tokens off, so what a
`tokenizer.json` happens to have switched on cannot cut a row in silence.
"""

from __future__ import annotations

import itertools
import re
from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from axolotl.core.console import note_once
from axolotl.core.hashing import hash_text, hash_values
from axolotl.errors import ModelError
from axolotl.records import TokenizerFacts


class Encoder:
    """Pieces of text to token ids.

    Args:
        tokenizer: A tokenizer of transformers; it is not changed.

    Attributes:
        prefix: Ids that the tokenizer itself puts in front of a text; empty for many.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.prefix = _own_prefix(tokenizer)

    @property
    def eos(self) -> int:
        """Id of the end token.

        Raises:
            ModelError: the tokenizer has none.
        """
        if self._tokenizer.eos_token_id is None:
            raise ModelError(
                "the tokenizer has no end token, but every answer ends with one",
                where="special_tokens",
                hint='set `special_tokens: {eos_token: "</s>"}`, with the text of the model\'s end token',
            )
        return int(self._tokenizer.eos_token_id)

    @cached_property
    def vocabulary(self) -> int:
        """Every id is below it; ids may have gaps."""
        return max(self._tokenizer.get_vocab().values()) + 1

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Ids of every text, without special tokens around them.

        Args:
            texts: The pieces; an empty one gives no ids.

        Returns:
            The ids of all pieces one after the other, int32, and the number of ids of each, int64.
        """
        flat = array("i")
        counts = np.empty(len(texts), np.int64)
        if self._backend is None:
            pieces = (
                self._tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []
            )
            for i, ids in enumerate(pieces):
                flat.fromlist(list(ids))
                counts[i] = len(ids)
        else:
            for i, found in enumerate(
                self._backend.encode_batch_fast(texts, add_special_tokens=False)
            ):
                flat.fromlist(found.ids)
                counts[i] = len(found)
        return np.frombuffer(flat, np.int32) if flat else np.empty(0, np.int32), counts

    def encode_joined(
        self, texts: Sequence[str], joined: Sequence[bool]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ids of every text, where some are tokenized in one call with the one before.

        Args:
            texts: The pieces.
            joined: Whether each goes on where the one before ended.

        Returns:
            As `encode`; a token counts for the piece in which it begins.
        """
        if self._backend is None:
            note_once("without offsets, pieces that belong together are tokenized one by one")
            return self.encode(texts)
        firsts = [i for i, goes_on in enumerate(joined) if not goes_on]
        bounds = [*firsts, len(texts)]
        whole = [
            texts[a] if b - a == 1 else "".join(texts[a:b]) for a, b in itertools.pairwise(bounds)
        ]
        flat = array("i")
        counts = np.empty(len(texts), np.int64)
        at = 0
        for first, found in zip(
            firsts, self._backend.encode_batch(whole, add_special_tokens=False), strict=True
        ):
            flat.fromlist(found.ids)
            at = first
            begun, position = 0, len(texts[first])
            while at + 1 < len(texts) and joined[at + 1]:
                border = _token_at(found, position) if position else 0
                counts[at] = border - begun
                begun, at = border, at + 1
                position += len(texts[at])
            counts[at] = len(found) - begun
        return np.frombuffer(flat, np.int32) if flat else np.empty(0, np.int32), counts

    def identity(self) -> dict[str, Any]:
        """Everything of the tokenizer that decides the ids."""
        tokenizer = self._tokenizer
        content = hash_text(self._rust) if self._rust else _python_content(tokenizer)
        return {
            "content": content,
            "prefix": self.prefix,
            "eos": tokenizer.eos_token_id,
            "special": {str(k): str(v) for k, v in tokenizer.special_tokens_map.items()},
        }

    def facts(self) -> TokenizerFacts:
        """What a format may know of the tokenizer."""
        template = self._tokenizer.chat_template
        if isinstance(template, dict):  # several by name
            template = template.get("default")
        named = self._tokenizer.special_tokens_map.items()
        return TokenizerFacts(
            template,
            {str(k): str(v) for k, v in named if isinstance(v, str)},
            frozenset(self.control_tokens.values()),
            frozenset(token.content for token in self._tokenizer.added_tokens_decoder.values()),
        )

    @cached_property
    def control_tokens(self) -> Mapping[int, str]:
        """Special tokens by id: those that steer the model and are not text."""
        added = self._tokenizer.added_tokens_decoder
        return {int(i): token.content for i, token in added.items() if token.special}

    @cached_property
    def is_control(self) -> np.ndarray:
        """Whether an id is that of a special token; bool, shape (vocabulary,)."""
        table = np.zeros(self.vocabulary, bool)
        table[list(self.control_tokens)] = True
        return table

    @cached_property
    def control_pattern(self) -> re.Pattern[str]:
        """Finds the text of special tokens."""
        texts = sorted(self.control_tokens.values(), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, texts)) or r"(?!)")

    @cached_property
    def plain_control(self) -> bool:
        """Whether the text of special tokens stands in the `repr` of a text as it is."""
        texts = "".join(self.control_tokens.values())
        return texts.isprintable() and not set(texts) & set("'\"\\")

    @cached_property
    def _rust(self) -> str:
        """The Rust tokenizer as JSON; empty when there is none."""
        from tokenizers import Tokenizer

        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        return backend.to_str() if isinstance(backend, Tokenizer) else ""

    @cached_property
    def _backend(self) -> Any:
        """A copy of the Rust tokenizer that neither cuts nor pads."""
        from tokenizers import Tokenizer

        if not self._rust:
            note_once(f"{type(self._tokenizer).__name__} has no Rust part: tokenizing is slow")
            return None
        copy = Tokenizer.from_str(self._rust)
        copy.no_truncation()
        copy.no_padding()
        copy.post_processor = None  # it may move offsets away from where a token begins
        return copy


def _token_at(encoding: Any, position: int) -> int:
    """Number of the first token that begins at a character or behind it."""
    count, token = len(encoding), encoding.char_to_token(position)
    if token is None:  # the tokenizer leaves that character out, or there is none
        token = bisect_left(encoding.offsets, (position, position))
    while token < count and encoding.token_to_chars(token)[0] < position:
        token += 1
    return token


def _own_prefix(tokenizer: Any) -> list[int]:
    """What the tokenizer puts in front of a text when it is called plainly."""
    for probe in ("a", "Hello", "1"):
        plain = list(tokenizer(probe, add_special_tokens=False)["input_ids"])
        whole = list(tokenizer(probe)["input_ids"])
        for start in range(len(whole) - len(plain) + 1):
            if plain and whole[start : start + len(plain)] == plain:
                return whole[:start]
    return []


def _python_content(tokenizer: Any) -> str:
    """Hash of a tokenizer without a Rust part: its words, settings and what it makes of a sample."""
    sample = "The quick brown fox, 0123456789 — naïve façade 漢字 \n\t  x_y"
    return hash_values(
        [
            type(tokenizer).__name__,
            sorted(tokenizer.get_vocab().items()),
            {k: str(v) for k, v in tokenizer.init_kwargs.items() if "name_or_path" not in k},
            tokenizer(sample, add_special_tokens=False)["input_ids"],
        ]
    )
