"""Filling a store: rows through their format and the tokenizer, chunk by chunk.

Memory holds one batch of rows whatever the size of the data: about 4,000 rows, or fewer long ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from axolotl.data.batches import Batch, Part, batches
from axolotl.data.encoder import Encoder
from axolotl.data.meter import Meter
from axolotl.data.store import StoreWriter
from axolotl.data.summary import LISTED_ROWS
from axolotl.data.tokenize import TOO_LONG, Fitted, Limits, fit
from axolotl.errors import DataError
from axolotl.formats import BoundFormat
from axolotl.records import Segment

SPLIT, CONTROL = "split", "control token in the text"


@dataclass
class Counts:
    """Source rows by what became of them; places are (number of the part, row from 1)."""

    read: list[int] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    groups: dict[str, tuple[int, list[tuple[int, int]]]] = field(default_factory=dict)
    longest_dropped: int = 0

    def note(self, group: str, part: int, rows: np.ndarray) -> None:
        """Add rows to a group."""
        count, places = self.groups.get(group, (0, []))
        places += [(part, int(row)) for row in rows[: LISTED_ROWS - len(places)]]
        if rows.size:
            self.groups[group] = (count + rows.size, places)

    def as_dict(self) -> dict[str, Any]:
        """For `store.json`."""
        return {
            name: {"count": count, "places": places}
            for name, (count, places) in self.groups.items()
        }


def fill(
    writer: StoreWriter, parts: Sequence[Part], encoder: Encoder, limits: Limits
) -> dict[str, Any]:
    """Write all rows of all parts.

    Args:
        writer: The store.
        parts: Files and their formats, in order.
        encoder: The tokenizer.
        limits: How long rows may be.

    Returns:
        The counts, for `store.json`.

    Raises:
        DataError: a row cannot be used, or none is left.
    """
    counts = Counts()
    padded = 0
    with Meter([part.source.weight for part in parts]) as meter:
        for number, part in enumerate(parts):
            counts.read.append(0)
            counts.kept.append(0)
            meter.part = number
            for batch in batches(part, encoder, meter=meter):
                long_rows = part.bound.long_rows if part.bound else "drop"
                fitted = fit(batch.tokens, limits, long_rows=long_rows)
                kept = fitted.rows
                writer.add(kept, source=number, source_rows=batch.numbers[kept.origin])
                counts.read[number] += len(batch.rows)
                counts.kept[number] += kept.origin.size
                padded += batch.padded
                _count(counts, number, part.bound, batch, fitted, encoder)
            if part.shard is not None:
                left_out = part.shard.left_out(part.source)
                counts.read[number] += left_out.size
                counts.note(part.shard.reason, number, left_out)
    _check_rows(parts, counts, limits.capacity_tokens)
    return {
        "rows_read": counts.read,
        "rows_kept": counts.kept,
        "groups": counts.as_dict(),
        "padded_rows": padded,
    }


def _count(
    counts: Counts,
    part: int,
    bound: BoundFormat | None,
    batch: Batch,
    fitted: Fitted,
    encoder: Encoder,
) -> None:
    kept = fitted.rows
    for reason, which in fitted.dropped.items():
        counts.note(reason, part, batch.numbers[which])
        if reason == TOO_LONG:
            longest = int(batch.tokens.lengths[which].max())
            counts.longest_dropped = max(counts.longest_dropped, longest)
    again = kept.origin[1:][kept.origin[1:] == kept.origin[:-1]]
    counts.note(SPLIT, part, batch.numbers[np.unique(again)])
    own = [i for i in batch.control if bound and _steers(bound, batch.rows[i], encoder)]
    counts.note(CONTROL, part, batch.numbers[own])


def _steers(bound: BoundFormat, row: Mapping[str, Any], encoder: Encoder) -> bool:
    """Whether special tokens come from the row's own text, and not from the template alone."""
    pattern = encoder.control_pattern

    def without(value: Any) -> Any:
        if isinstance(value, str):
            return pattern.sub("x", value)
        if isinstance(value, Mapping):
            return {name: without(inner) for name, inner in value.items()}
        return [without(inner) for inner in value] if isinstance(value, list) else value

    def count(segments: Sequence[Segment]) -> int:
        return sum(len(pattern.findall(part.text)) for part in segments)

    harmless = without(row)
    return harmless != row and count(bound.segments(row)) > count(bound.segments(harmless))


def _check_rows(parts: Sequence[Part], counts: Counts, capacity_tokens: int) -> None:
    for key in dict.fromkeys(part.key for part in parts):
        mine = [i for i, part in enumerate(parts) if part.key == key]
        if not any(counts.read[i] for i in mine):
            names = ", ".join(parts[i].source.label for i in mine[:5])
            raise DataError(
                "no rows", where=names, hint=f"take {key} out, or give it a file with rows"
            )
    if any(counts.kept):
        return
    reasons = "; ".join(
        f"{count:,} {name}"
        for name, (count, _) in counts.groups.items()
        if name not in (SPLIT, CONTROL)
    )
    raise DataError(
        f"none of the {sum(counts.read):,} rows can be trained on: {reasons}",
        where=", ".join(part.source.label for part in parts[:5]),
        hint=f"sequence_len is {capacity_tokens}, the longest row has {counts.longest_dropped} tokens"
        if counts.longest_dropped
        else "a row needs an answer that is not empty",
    )
