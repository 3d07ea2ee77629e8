"""Rows whose own text has become special tokens: the model is steered by what it ought to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from axolotl.data.batch import Batch
from axolotl.data.encoder import Encoder
from axolotl.errors import DataError
from axolotl.formats import BoundFormat
from axolotl.records import Segment

STEERED = "the model is steered by it instead of reading it"
"""What is wrong with that."""


def steering_rows(batch: Batch, bound: BoundFormat | None, encoder: Encoder) -> list[int]:
    """Indices of the rows of a batch in which text of the row's own is a special token.

    Args:
        batch: The rows; of those that were tokens already none is found.
        bound: Their format.
        encoder: The tokenizer.
    """
    if bound is None or batch.pretokenized:
        return []
    return [i for i in batch.control.tolist() if _steers(bound, batch.rows[i], encoder)]


def _steers(bound: BoundFormat, row: Mapping[str, Any], encoder: Encoder) -> bool:
    """Whether special tokens come from the row's own text, and not from the template alone."""
    pattern = encoder.control_pattern
    if encoder.plain_control and pattern.search(repr(row)) is None:
        return False

    def without(value: Any) -> Any:
        if isinstance(value, str):
            return pattern.sub(lambda token: "x" * len(token[0]), value)  # offsets stay right
        if isinstance(value, Mapping):
            return {name: without(inner) for name, inner in value.items()}
        return [without(inner) for inner in value] if isinstance(value, list) else value

    def count(segments: Sequence[Segment]) -> int:
        return sum(len(pattern.findall(part.text)) for part in segments)

    harmless = without(row)
    try:
        return harmless != row and count(bound.segments(row)) > count(bound.segments(harmless))
    except DataError:  # without them it is no row of this format
        return True
