"""Rows cut so that they fit into the short sequences of a rehearsal.

The real rows are made for thousands of tokens, and a small tokenizer needs two or three times as many
for a text. Cut by a fixed number of characters, they would be dropped as longer than `sequence_len`,
and nothing would be left to rehearse. So each is measured by the tokenizer that the rehearsal has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from axolotl.data.encoder import Encoder
from axolotl.errors import DataError
from axolotl.formats import BoundFormat
from axolotl.records import IGNORE_INDEX

_SHAPES = (
    *((1_000, 12), (1_000, 8), (500, 6), (250, 6), (250, 4), (120, 4), (120, 3)),
    *((60, 3), (30, 3), (12, 3)),
)
"""Characters of a text and turns of a chat that are kept, the most first."""


class Fitting:
    """Cuts the rows of one data set.

    Args:
        bound: Its format; None for rows that are tokens already.
        encoder: The tokenizer of the rehearsal.
        tokens: Longest sample of the rehearsal. Half of it is aimed at, so that samples share rows.
        dropped_above: Tokens above which the real run drops a row, so that it is left as it is and the
            rehearsal drops it, too; None where that cannot be told, because the tokenizer is another.
    """

    def __init__(
        self,
        bound: BoundFormat | None,
        encoder: Encoder,
        *,
        tokens: int,
        dropped_above: int | None = None,
    ) -> None:
        self._bound = bound
        self._encoder = encoder
        self._tokens = tokens
        self._dropped_above = dropped_above

    def fitted(self, row: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The row, cut as little as is needed; None where no cut makes it fit.

        A row that the format cannot use, or of which nothing is trained, stays as it is: the stages
        tell of it as the run would.
        """
        if self._bound is None:
            return _fewer_tokens(row, self._tokens // 2)
        if self._bound.long_rows == "split":
            return shortened(row)
        try:
            whole = self._length(row)
        except DataError:
            return row
        if whole is None or whole <= self._tokens // 2:
            return row
        if self._dropped_above is not None and whole > self._dropped_above:
            return row
        for most in (self._tokens // 2, self._tokens):
            for cut in _cuts(row):
                if self._fits(cut, most):
                    return cut
        return None

    def _fits(self, row: Mapping[str, Any], most: int) -> bool:
        try:
            length = self._length(row)
        except DataError:  # cut in a place where the format needs the text
            return False
        return length is not None and length <= most

    def _length(self, row: Mapping[str, Any]) -> int | None:
        """Tokens of a row, rather one too many than one too few; None where none is trained."""
        assert self._bound is not None
        segments = self._bound.segments(row)
        if not any(s.train and s.text for s in segments):
            return None
        _, counts = self._encoder.encode([s.text for s in segments])
        around = sum(s.bos * len(self._encoder.prefix) + s.eos for s in segments)
        return int(counts.sum()) + around


def shortened(
    value: Any, characters: int = 1_000, turns: int | None = None, *, also_json: bool = False
) -> Any:
    """A row whose texts are short, and whose chats have few turns.

    Args:
        value: The row, or a part of it.
        characters: What is kept of a text.
        turns: What is kept of a chat, so that it ends as it ended, with the user or the model; None
            for all.
        also_json: Cut what may be JSON in a text, too.

    >>> shortened({"a": "long text", "b": "[1, 2, 3]"}, 4)
    {'a': 'long', 'b': '[1, 2, 3]'}
    >>> [turn["n"] for turn in shortened([{"n": n} for n in range(5)], turns=4)]
    [0, 1, 2]
    """
    if isinstance(value, str):
        may_be_json = value.lstrip()[:1] in ("{", "[")
        return value if may_be_json and not also_json else value[:characters]
    if isinstance(value, Mapping):
        return {
            name: shortened(part, characters, turns, also_json=also_json)
            for name, part in value.items()
        }
    if isinstance(value, list):
        kept = value
        if turns is not None and len(kept) > turns and all(isinstance(v, Mapping) for v in kept):
            kept = kept[: turns - (len(kept) - turns) % 2]
        return [shortened(part, characters, turns, also_json=also_json) for part in kept]
    return value


def _cuts(row: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Shorter and shorter; what may be JSON is cut only when nothing else helps."""
    for also_json in (False, True):
        for characters, turns in _SHAPES:
            yield shortened(row, characters, turns, also_json=also_json)


def _fewer_tokens(row: Mapping[str, Any], most: int) -> Mapping[str, Any]:
    """A row of token ids with so many of them, and trained ones among them if it has any."""
    length = len(row.get("input_ids") or ())
    if length <= most:
        return row
    labels = row.get("labels") or row["input_ids"]
    trained = next((i for i, label in enumerate(labels) if label != IGNORE_INDEX), 0)
    first = min(max(0, trained - most // 2), length - most)
    return {
        name: value[first : first + most]
        if isinstance(value, list) and len(value) == length
        else value
        for name, value in row.items()
    }
