"""Filling a store: rows through their format and the tokenizer, chunk by chunk.

Memory holds one batch of rows whatever the size of the data: about 4,000 rows, or fewer long ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from axolotl.data.bad_rows import BadRows
from axolotl.data.batches import Batch, Part, batches
from axolotl.data.counts import FileCounts
from axolotl.data.encoder import Encoder
from axolotl.data.meter import Meter
from axolotl.data.rows import row_place
from axolotl.data.steering import steering_rows
from axolotl.data.tokenize import (
    CUT_AWAY,
    NO_TRAINED_TOKEN,
    TOO_LONG,
    TOO_SHORT,
    Fitted,
    Limits,
    fit,
)
from axolotl.data.writer import StoreWriter
from axolotl.errors import DataError
from axolotl.formats import BoundFormat


@dataclass(slots=True)
class Progress:
    """How far filling has come: as much as a shard needs to remember to be gone on from.

    Args:
        counts: What became of the rows so far, file by file.
        part: Number of the file that is read.
        row: How many of its rows have been read.
    """

    counts: list[FileCounts]
    part: int = 0
    row: int = 0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        counts = [found.as_dict() for found in self.counts]
        return {"counts": counts, "part": self.part, "row": self.row}

    @classmethod
    def of_dict(cls, content: Mapping[str, Any]) -> Progress:
        """From JSON."""
        counts = [FileCounts.of_dict(found) for found in content["counts"]]
        return cls(counts, content["part"], content["row"])


def fill(
    writer: StoreWriter,
    parts: Sequence[Part],
    encoder: Encoder,
    limits: Limits,
    *,
    skip_bad_rows: int = 0,
) -> list[FileCounts]:
    """Write all rows of all parts, from where the writer's last whole shard ends.

    Args:
        writer: The store.
        parts: Files and their formats, in order.
        encoder: The tokenizer.
        limits: How long rows may be.
        skip_bad_rows: How many rows that cannot be used are left out.

    Returns:
        What became of the rows, file by file.

    Raises:
        DataError: a row cannot be used, or none is left.
    """
    start = Progress([FileCounts() for _ in parts])
    if writer.state is not None:
        start = Progress.of_dict(writer.state)
    filling = _Filling(writer, parts, encoder, limits, start)
    bad = BadRows(skip_bad_rows, found=sum(file.total("bad") for file in start.counts))
    filling.run(bad)
    _check_rows(parts, start.counts, limits)
    return start.counts


@dataclass
class _Filling:
    writer: StoreWriter
    parts: Sequence[Part]
    encoder: Encoder
    limits: Limits
    progress: Progress

    def run(self, bad: BadRows) -> None:
        at = self.progress
        rows = sum(file.read for file in at.counts)
        with Meter([part.source.weight for part in self.parts], rows) as meter:
            while at.part < len(self.parts):
                part = self.parts[at.part]
                meter.part = at.part
                for batch in batches(part, self.encoder, meter=meter, start_row=at.row, bad=bad):
                    self._take(part, batch)
                if part.shard is not None:
                    left_out = part.shard.left_out(part.source)
                    at.counts[at.part].read += left_out.size
                    at.counts[at.part].note("dropped", part.shard.reason, left_out)
                at.part, at.row = at.part + 1, 0
            self.writer.close_shard(at.as_dict())

    def _take(self, part: Part, batch: Batch) -> None:
        at = self.progress
        fitted = fit(
            batch.tokens, self.limits, long_rows=part.bound.long_rows if part.bound else "drop"
        )
        self._refuse_long(part, batch, fitted)
        numbers = batch.numbers[fitted.rows.origin]
        self.writer.add(fitted.rows, source=at.part, source_rows=numbers)
        _count(at.counts[at.part], part.bound, batch, fitted, self.encoder)
        at.row = max([*batch.numbers[-1:].tolist(), *(row for row, _ in batch.bad)])
        if self.writer.full:
            self.writer.close_shard(at.as_dict())

    def _refuse_long(self, part: Part, batch: Batch, fitted: Fitted) -> None:
        if self.limits.excess != "raise" or TOO_LONG not in fitted.dropped:
            return
        first = fitted.dropped[TOO_LONG][0]
        raise DataError(
            f"{self.limits.lengths(batch.tokens)[first]:,} tokens, more than the "
            f"{self.limits.capacity_tokens:,} of sequence_len",
            where=row_place(part.source.label, int(batch.numbers[first])),
            hint="raise sequence_len, or set excess_length_strategy to drop or truncate",
        )


def _count(
    counts: FileCounts, bound: BoundFormat | None, batch: Batch, fitted: Fitted, encoder: Encoder
) -> None:
    counts.read += len(batch.rows) + len(batch.bad)
    counts.kept += fitted.rows.origin.size
    counts.padded += batch.padded
    for row, message in batch.bad:
        counts.note("bad", message, [row])
    for reason, which in fitted.dropped.items():
        counts.note("dropped", reason, batch.numbers[which])
        if reason == TOO_LONG:
            longest = int(batch.tokens.lengths[which].max())
            counts.longest_dropped = max(counts.longest_dropped, longest)
    counts.note("truncated", "cut to sequence_len", batch.numbers[fitted.truncated])
    counts.note("split", "split into several", batch.numbers[fitted.several])
    own = steering_rows(batch, bound, encoder)
    counts.note("control", "special token in the text", batch.numbers[own])
    for number, remark in batch.remarks:
        counts.note("remark", remark, [number])


def _check_rows(parts: Sequence[Part], counts: Sequence[FileCounts], limits: Limits) -> None:
    for key in dict.fromkeys(part.key for part in parts):
        mine = [i for i, part in enumerate(parts) if part.key == key]
        if not any(counts[i].read for i in mine):
            names = ", ".join(parts[i].source.label for i in mine[:5])
            raise DataError(
                "no rows", where=names, hint=f"take {key} out, or give it a file with rows"
            )
    if any(file.kept for file in counts):
        return
    reasons = _reasons(counts)
    raise DataError(
        f"none of the {sum(file.read for file in counts):,} rows can be trained on: "
        + "; ".join(f"{count:,} {reason}" for reason, count in reasons.items()),
        where=", ".join(part.source.label for part in parts[:5]),
        hint=_way_out(reasons, parts, counts, limits),
    )


def _way_out(
    reasons: Mapping[str, int], parts: Sequence[Part], counts: Sequence[FileCounts], limits: Limits
) -> str:
    """What helps against the reason that most rows were dropped for."""
    longest = max(file.longest_dropped for file in counts)
    ways = {
        TOO_LONG: f"sequence_len is {limits.capacity_tokens}, the longest row has {longest} tokens",
        CUT_AWAY: f"sequence_len is {limits.capacity_tokens}: raise it, the prompts alone are longer",
        TOO_SHORT: f"min_sample_len is {limits.min_tokens}: lower it",
        NO_TRAINED_TOKEN: _untrained(parts, counts),
    }
    most = max(reasons, key=lambda reason: reasons[reason])
    return ways.get(most, "look at some rows with `axolotl preview`")


def _untrained(parts: Sequence[Part], counts: Sequence[FileCounts]) -> str:
    """What helps where nothing of a row is trained: some formats have options for that."""
    for part, file in zip(parts, counts, strict=True):
        options = part.bound.options if part.bound else None
        roles = getattr(options, "roles_to_train", None)
        if roles is None or NO_TRAINED_TOKEN not in file.groups.get("dropped", {}):
            continue
        flag = getattr(options, "message_field_training", None)
        also = f" and message_field_training is {flag}" if flag else ""
        return f"roles_to_train is [{', '.join(roles)}]{also}: one turn with text must be trained"
    return "a row needs an answer that is not empty"


def _reasons(counts: Sequence[FileCounts]) -> dict[str, int]:
    found: dict[str, int] = {}
    for file in counts:
        for kind in ("dropped", "bad"):
            for reason, group in file.groups.get(kind, {}).items():
                found[reason] = found.get(reason, 0) + group.count
    return found
