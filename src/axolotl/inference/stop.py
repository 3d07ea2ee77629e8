"""Texts that end an answer, which are not part of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import StoppingCriteria

_SPARE_TOKENS = 4
"""Tokens looked at besides those that a stop text may have: one may begin with half a character."""


def before_stop(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """The text up to the first stop text, and whether there is one.

    >>> before_stop("Red. Q: Why?", ["Q:", "A:"])
    ('Red. ', True)
    """
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    return (text[: min(places)], True) if places else (text, False)


class StopInPieces:
    """Finds stop texts in a text that comes piece by piece; what may begin one is held back.

    Args:
        stops: The stop texts; none is empty.

    Attributes:
        found: Whether one came; nothing is given out from then on.

    >>> text = StopInPieces(["END"])
    >>> [text.add(piece) for piece in ("Red E", "NE", "ND.")], text.found
    (['Red ', 'EN', ''], True)
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = ""
        self.found = False

    def add(self, piece: str) -> str:
        """What is certain once this piece has come."""
        if not self._stops or self.found:
            return "" if self.found else piece
        text, self.found = before_stop(self._held + piece, self._stops)
        keep = 0 if self.found else max(_begun(text, stop) for stop in self._stops)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def rest(self) -> str:
        """What was held back, at the end of the answer."""
        held, self._held = self._held, ""
        return "" if self.found else held


def _begun(text: str, stop: str) -> int:
    """How many characters at the end of a text begin a stop text."""
    return next(
        (n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0
    )


class StopTexts(StoppingCriteria):
    """Ends those answers of a batch that a stop text has come in.

    Args:
        stops: The stop texts.
        decode: Ids to text.
        prompt_tokens: Width of the prompts, with their padding.

    Attributes:
        ended: Answers that a stop text has come in, with their tokens until then; behind them is
            padding.
    """

    def __init__(
        self, stops: Sequence[str], decode: Callable[[list[int]], str], prompt_tokens: int
    ) -> None:
        self.ended: dict[int, int] = {}
        self._stops = stops
        self._decode = decode
        self._prompt_tokens = prompt_tokens
        self._tail_tokens = max((len(stop.encode()) for stop in stops), default=0) + _SPARE_TOKENS

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Any:  # noqa: ARG002  the library's signature
        """One answer for each row of ids, (B, T)."""
        width = input_ids.shape[1]
        begin = max(self._prompt_tokens, width - self._tail_tokens)
        for number, row in enumerate(input_ids[:, begin:].tolist()):
            if number not in self.ended and before_stop(self._decode(row), self._stops)[1]:
                self.ended[number] = width - self._prompt_tokens
        ends = [number in self.ended for number in range(len(input_ids))]
        return torch.tensor(ends, device=input_ids.device)
