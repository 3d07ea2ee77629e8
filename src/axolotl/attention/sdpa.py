"""torch's scaled-dot-product attention with the library's block mask over the whole row."""

from __future__ import annotations

from axolotl.attention import Need
from axolotl.attention.eager import IGNORES_POSITIONS


def why_not(need: Need) -> str | None:
    """It knows no cap on scores, and not every model has code for it."""
    if need.softcap:
        return f"{need.model_type} caps its attention scores, which sdpa cannot do"
    if not need.sdpa:
        return f"{need.model_type} has no sdpa code"
    return None


def isolates(need: Need) -> bool:
    """Transformers builds a block mask from jumps in `position_ids`, for all but a few models."""
    return need.model_type not in IGNORES_POSITIONS


def register() -> None:
    """Transformers knows it already."""
