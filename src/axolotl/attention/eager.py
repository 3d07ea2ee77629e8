"""Plain attention as every model has it: all scores in memory; the library's own block mask."""

from __future__ import annotations

from axolotl.attention import Need

IGNORES_POSITIONS = frozenset({"falcon", "mpt"})
"""Models that build their mask without looking at `position_ids` (measured: the documents of a
row see each other)."""


def why_not(need: Need) -> str | None:
    """Nothing speaks against it."""
    return None


def isolates(need: Need) -> bool:
    """Transformers builds a block mask from jumps in `position_ids`, for all but a few models."""
    return need.model_type not in IGNORES_POSITIONS


def register() -> None:
    """Transformers knows it already."""
