"""Proofs: one file each, `prove(…) -> Proof`; `rehearse` walks the whole road in small."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Proof:
    """What was shown, with its numbers.

    Args:
        claim: What was to be shown, in a sentence.
        holds: Whether it was.
        numbers: Name → value, as measured.
        lines: What a user reads besides, in order.
    """

    claim: str
    holds: bool
    numbers: Mapping[str, float]
    lines: tuple[str, ...] = ()
