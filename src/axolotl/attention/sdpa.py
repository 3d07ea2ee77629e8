"""torch's scaled-dot-product attention with the library's block mask over the whole row."""

from __future__ import annotations

from axolotl.attention import Need


def why_not(need: Need) -> str | None:
    """It knows no cap on scores, and not every model has code for it."""
    if need.softcap:
        return f"{need.model_type} caps its attention scores, which sdpa cannot do"
    if not need.sdpa:
        return f"{need.model_type} has no sdpa code"
    return None


def register() -> None:
    """Transformers knows it already."""
