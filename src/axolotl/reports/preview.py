"""Row by row: what is trained, what is masked, and where a row is cut.

Nothing is read from a store: the rows go through the same format and tokenizing code as in a
preparation, so what is shown is what would be trained.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from axolotl.errors import DataError
from axolotl.records import IGNORE_INDEX, Segment


@dataclass(frozen=True, slots=True)
class Piece:
    """The part of a row that is one row of the training.

    Args:
        begin: Its first token.
        end: Behind its last token.
    """

    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """One row of a file and what it becomes.

    Args:
        dataset: Name of the file.
        source_row: Row in that file, from 1; 0 where the whole file is meant.
        type: The format; None for rows that are tokens already.
        row: The row as it stands in the file; None where it cannot be read.
        segments: What the format made of it; empty for pretokenized rows.
        input_ids: Token ids of the whole row, before anything is cut.
        labels: Labels; `IGNORE_INDEX` where nothing is trained.
        segment_of: The segment that each token is of; empty for pretokenized rows.
        pieces: What of it is trained on, in order: one piece, several where the row is split, none
            where it is dropped.
        dropped: Why the row would not be in the data; None when it would.
        bad: Why the row cannot be used; None when it can.
        remarks: What the format has to say of the row besides.
        entry: The entry in the YAML file, such as `datasets.0`.
    """

    dataset: str
    source_row: int
    type: str | None
    row: Mapping[str, Any] | None = None
    segments: tuple[Segment, ...] = ()
    input_ids: Sequence[int] = ()
    labels: Sequence[int] = ()
    segment_of: Sequence[int] = ()
    pieces: tuple[Piece, ...] = ()
    dropped: str | None = None
    bad: DataError | None = None
    remarks: tuple[str, ...] = ()
    entry: str = ""

    @property
    def evaluated(self) -> bool:
        """Whether it is of `test_datasets`, so that it is evaluated and not trained."""
        return self.entry.startswith("test_datasets.")

    @property
    def kept_tokens(self) -> int:
        """Tokens that are in the data."""
        return sum(piece.end - piece.begin for piece in self.pieces)

    @property
    def trained_tokens(self) -> int:
        """Tokens that are predicted and carry a label; of a row that is dropped, those that would be.

        The first token of a row is never predicted, whatever its label.
        """
        spans = self.pieces or (Piece(0, len(self.labels)),)
        return sum(
            label != IGNORE_INDEX
            for span in spans
            for label in self.labels[span.begin + 1 : span.end]
        )

    @property
    def fate(self) -> str | None:
        """What becomes of the row where it is not kept whole: `bad`, `dropped`, `truncated` or `split`."""
        if self.bad is not None:
            return "bad"
        if self.dropped is not None:
            return "dropped"
        if len(self.pieces) > 1:
            return "split"
        return "truncated" if self.kept_tokens < len(self.input_ids) else None


def summarise(rows: Sequence[PreviewRow]) -> dict[str, Any]:
    """Counts over the rows shown; one that is split counts as the rows it becomes."""
    tokens = sum(row.kept_tokens for row in rows)
    trained = sum(row.trained_tokens for row in rows if row.pieces)
    lengths = [piece.end - piece.begin for row in rows for piece in row.pieces]
    return {
        "rows": sum(max(1, len(row.pieces)) for row in rows),
        "tokens": tokens,
        "trained_tokens": trained,
        "trained_share": round(trained / tokens, 4) if tokens else 0.0,
        "longest_tokens": max(lengths, default=0),
        "dropped": dict(Counter(row.dropped for row in rows if row.dropped is not None)),
        "truncated": sum(row.fate == "truncated" for row in rows),
        "split": sum(row.fate == "split" for row in rows),
        "bad": sum(row.fate == "bad" for row in rows),
    }


def summary_line(rows: Sequence[PreviewRow]) -> str:
    """The counts in one line."""
    found = summarise(rows)
    gone = "".join(f", {count} dropped ({reason})" for reason, count in found["dropped"].items())
    gone += "".join(
        f", {found[what]} {what}" for what in ("truncated", "split", "bad") if found[what]
    )
    return (
        f"{found['rows']} rows, {found['tokens']:,} tokens, "
        f"{found['trained_share']:.0%} of them trained{gone}"
    )


def as_document(rows: Sequence[PreviewRow]) -> dict[str, Any]:
    """`{rows: [{dataset, source_row, segments, input_ids, labels, …}], summary}`.

    A row that is split is there as the rows it becomes, with the segments at the first.
    """
    return {"rows": [part for row in rows for part in _documents(row)], "summary": summarise(rows)}


def _documents(row: PreviewRow) -> Iterator[dict[str, Any]]:
    spans = row.pieces or (Piece(0, len(row.input_ids)),)
    for number, span in enumerate(spans):
        yield {
            "dataset": row.dataset,
            "entry": row.entry,
            "source_row": row.source_row,
            "segments": [asdict(segment) for segment in row.segments] if not number else [],
            "input_ids": list(row.input_ids[span.begin : span.end]),
            "labels": list(row.labels[span.begin : span.end]),
            "dropped": row.dropped,
            "bad": row.bad and str(row.bad),
            "type": row.type,
            "piece": number + 1,
            "pieces": len(spans),
            "lost_tokens": len(row.input_ids) - row.kept_tokens if row.fate == "truncated" else 0,
            "remarks": list(row.remarks),
            "row": _as_json(row.row) if not number else None,
        }


def _as_json(row: Mapping[str, Any] | None) -> Any:
    """The row with what JSON has no value for, such as dates and NaN, as text."""
    return json.loads(json.dumps(row, default=str), parse_constant=str)
