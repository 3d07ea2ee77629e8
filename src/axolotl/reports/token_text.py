"""The text of every token on its own, with the spaces that belong to it.

A token decoded alone may lose its leading space, and one that holds a part of a character has no
text at all. So each is decoded behind another one, and those that share a character together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

_BROKEN = "\ufffd"
_MOST_BYTES = 4
"""Bytes of one character in UTF-8, so also tokens that share one."""


@dataclass(frozen=True)
class TokenTexts:
    """Texts of tokens, looked up once for each id.

    Args:
        tokenizer: Decodes the ids.
    """

    tokenizer: Any
    alone: dict[int, str] = field(default_factory=dict)
    _together: dict[tuple[int, ...], str] = field(default_factory=dict)

    def of(self, token: int) -> str:
        """The text of a token; with U+FFFD in it where it has only a part of a character."""
        if token not in self.alone:
            self.alone[token] = self._decode((token,))
        return self.alone[token]

    def groups(self, ids: Sequence[int]) -> list[tuple[int, int, str]]:
        """Neighbours that share a character: first position, number of tokens, their text.

        A token whose own bytes are no text, whatever stands beside it, is in none.
        """
        found: list[tuple[int, int, str]] = []
        at = 0
        while at < len(ids):
            size, text = self._group(ids, at) if _BROKEN in self.of(ids[at]) else (1, "")
            if size > 1:
                found.append((at, size, text))
            at += size
        return found

    def _group(self, ids: Sequence[int], at: int) -> tuple[int, str]:
        end = at + 1
        while end < min(len(ids), at + 2 * _MOST_BYTES) and _BROKEN in self.of(ids[end]):
            end += 1
            text = self._shared(tuple(ids[at:end]))
            if _BROKEN not in text:
                return end - at, text
        return 1, ""

    def _shared(self, ids: tuple[int, ...]) -> str:
        if ids not in self._together:
            self._together[ids] = self._decode(ids)
        return self._together[ids]

    def _decode(self, ids: tuple[int, ...]) -> str:
        front, text = self._front
        if front is None:
            return self._plain(ids)
        whole = self._plain((front, *ids))
        return whole[len(text) :] if whole.startswith(text) else self._plain(ids)

    @cached_property
    def _front(self) -> tuple[int | None, str]:
        """An ordinary token to decode others behind, and its own text."""
        for probe in ("a", "A", "0"):
            ids = self.tokenizer(probe, add_special_tokens=False)["input_ids"]
            if ids and (text := self._plain((ids[-1],))).strip():
                return int(ids[-1]), text
        return None, ""

    def _plain(self, ids: tuple[int, ...]) -> str:
        return self.tokenizer.decode(
            list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
