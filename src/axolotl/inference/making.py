"""An answer in the making: tokens go in, one by one, and the text that they make certain comes out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from axolotl.inference.options import GenerationOptions
from axolotl.inference.stop import StopInPieces
from axolotl.inference.stream import TextSoFar
from axolotl.models.native.landmark.answers import LandmarkAnswers


class Making:
    """What has become of an answer so far.

    Args:
        decode: Ids to text.
        ends: Tokens that end an answer.
        stops: Texts that end it.
        most_tokens: Longest answer, without landmarks.
        most_made: How many tokens are made at most, landmarks among them.
        landmarks: The landmarks of the model.
        positions: How many positions the prompt leaves of the model's; None where they have no end.

    Attributes:
        ended: Whether it is whole; no token is to come then.
        cut: Whether it ended because it had become too long.
        full: Whether that was because no position is left.
        tokens: How many tokens it has, without landmarks and without the one that ends it.
    """

    def __init__(
        self,
        decode: Callable[[list[int]], str],
        *,
        ends: Collection[int],
        stops: Sequence[str],
        most_tokens: int,
        most_made: int,
        landmarks: LandmarkAnswers,
        positions: int | None = None,
    ) -> None:
        self.ended = self.cut = self.full = False
        self.tokens = 0
        self._ends = ends
        self._text = TextSoFar(decode)
        self._stop = StopInPieces(stops)
        self._most_tokens = most_tokens
        self.most_made = most_made
        self._made = 0
        self._landmarks = landmarks
        self._positions = positions

    def add(self, token: int) -> str:
        """The text that one more token makes certain; often empty."""
        # An end token is no text, also where the tokenizer does not know it for one.
        if token in self._ends:
            return self._whole("")
        self._made += 1
        piece = ""
        if not self._landmarks.is_landmark(token):
            self.tokens += 1
            piece = self._stop.add(self._text.add(token))
        if self._stop.found:
            self.ended = True
        elif self._made == self.most_made or self.tokens == self._most_tokens:
            piece = self._whole(piece)
            self.cut = not self._stop.found
            self.full = self.cut and self._made == self._positions
        return piece

    def _whole(self, piece: str) -> str:
        self.ended = True
        rest = self._stop.add(self._text.rest())
        return piece + rest + self._stop.rest()


@dataclass(frozen=True)
class Answer:
    """An answer that was made with others.

    Args:
        text: What it says, without special tokens.
        tokens: Its length, without the token that ends it.
        cut: Whether it ended because it had become too long.
        full: Whether that was because prompt and answer fill the model's positions.
    """

    text: str
    tokens: int
    cut: bool
    full: bool = False


@dataclass(eq=False)
class Row:
    """One of the answers that are made together.

    Args:
        ids: The prompt.
        options: How the answer is chosen; the seed is that of this answer alone.
        making: What has become of it.
        pieces: Its text so far, for whoever wants it whole.
    """

    ids: list[int]
    options: GenerationOptions
    making: Making
    pieces: list[str] = field(default_factory=list)

    def add(self, token: int) -> str:
        """Take one more token, and give the text that it makes certain."""
        piece = self.making.add(token)
        if piece:
            self.pieces.append(piece)
        return piece

    def answer(self) -> Answer:
        """The answer, as far as it is made."""
        making = self.making
        return Answer("".join(self.pieces), making.tokens, making.cut, making.full)
