"""Plain attention as every model has it: all scores in memory; the library's own block mask."""

from __future__ import annotations

from axolotl.attention import Need


def why_not(need: Need) -> str | None:
    """Nothing speaks against it."""
    return None


def register() -> None:
    """Transformers knows it already."""
