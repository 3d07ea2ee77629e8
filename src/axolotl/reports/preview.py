"""Row by row: what is trained, what is masked, and where a row is cut.

Nothing is read from a store: the rows go through the same format and tokenizing code as in a
preparation, so what is shown is what would be trained.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from axolotl.data.bad_rows import BadRows
from axolotl.data.batches import Batch, Part, batches
from axolotl.data.encoder import Encoder
from axolotl.data.tokenize import Limits, SegmentBatch, fit, tokenize
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


def preview_rows(
    parts: Sequence[Part],
    encoder: Encoder,
    limits: Limits,
    *,
    first_rows: int,
    start_row: int = 0,
) -> list[PreviewRow]:
    """Some rows of every file; one that cannot be used is there with the reason.

    Args:
        parts: Files and their formats.
        encoder: The tokenizer.
        limits: How long rows may be.
        first_rows: How many source rows of each file.
        start_row: How many rows of each file are passed over.

    Raises:
        DataError: not one row can be shown; it is what is wrong with the first.
    """
    shown: list[PreviewRow] = []
    for part in parts:
        shown += _of_part(part, encoder, limits, first_rows, start_row)
    if shown and all(row.bad for row in shown) and shown[0].bad:
        raise shown[0].bad
    return shown


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
            "row": dict(row.row) if row.row is not None and not number else None,
        }


class _Noted(BadRows):
    """Puts up with every row that cannot be used, and keeps what is wrong with it."""

    def __init__(self) -> None:
        super().__init__(sys.maxsize)
        self.errors: list[tuple[int, DataError]] = []

    def take(self, error: DataError, row: int) -> None:
        self.errors.append((row, error))


def _of_part(
    part: Part, encoder: Encoder, limits: Limits, first_rows: int, start_row: int
) -> list[PreviewRow]:
    noted = _Noted()
    found: list[PreviewRow] = []
    ends: list[PreviewRow] = []
    try:
        for batch in batches(part, encoder, first_rows=first_rows, start_row=start_row, bad=noted):
            found += _rows_of(part, batch, encoder, limits)
    except DataError as error:  # reading cannot go on behind it
        ends = [replace(_plain(part, 0), bad=error)]
    wrong = {number: error for number, error in noted.errors if number > start_row}
    rows = _source_rows(part, wrong)
    found += [replace(_plain(part, n), bad=e, row=rows.get(n)) for n, e in wrong.items()]
    return sorted(found, key=lambda row: row.source_row)[:first_rows] + ends


def _plain(part: Part, number: int) -> PreviewRow:
    return PreviewRow(
        part.source.label, number, part.bound.type if part.bound else None, entry=part.key
    )


def _source_rows(part: Part, numbers: Collection[int]) -> dict[int, Mapping[str, Any]]:
    """The rows of these numbers, as far as they can be read; the file is read again for them."""
    found: dict[int, Mapping[str, Any]] = {}
    if not numbers:
        return found
    try:
        for chunk in part.chunks(min(numbers) - 1):
            for number, row in zip(chunk.numbers, chunk.rows, strict=True):
                if number in numbers and not isinstance(row, DataError):
                    found[number] = row
            if chunk.rows and chunk.numbers[-1] >= max(numbers):
                break
    except DataError:
        return found  # the first reading has said so
    return found


def _rows_of(part: Part, batch: Batch, encoder: Encoder, limits: Limits) -> Iterator[PreviewRow]:
    tokens = batch.tokens
    # What is kept depends on lengths and labels alone, so ids that are positions say where it was.
    places = replace(tokens, input_ids=np.arange(tokens.input_ids.size))
    long_rows = part.bound.long_rows if part.bound else "drop"
    fitted = fit(places, limits, long_rows=long_rows)
    reasons = {int(i): reason for reason, which in fitted.dropped.items() for i in which}
    pieces: dict[int, list[Piece]] = {}
    bounds = zip(fitted.rows.offsets[:-1], fitted.rows.offsets[1:], strict=True)
    for origin, (begin, end) in zip(fitted.rows.origin.tolist(), bounds, strict=True):
        at = int(fitted.rows.input_ids[begin] - tokens.offsets[origin])
        pieces.setdefault(origin, []).append(Piece(at, at + int(end - begin)))
    bound = None if batch.pretokenized else part.bound
    segments = [tuple(bound.segments(row)) if bound else () for row in batch.rows]
    numbers = segment_numbers(segments, encoder) if bound else None
    for i, (row, number) in enumerate(zip(batch.rows, batch.numbers, strict=True)):
        span = slice(tokens.offsets[i], tokens.offsets[i + 1])
        yield replace(
            _plain(part, int(number)),
            type=bound.type if bound else None,
            row=row,
            segments=segments[i],
            input_ids=tokens.input_ids[span].tolist(),
            labels=tokens.labels[span].tolist(),
            segment_of=() if numbers is None else numbers[span].tolist(),
            pieces=tuple(pieces.get(i, ())),
            remarks=tuple(bound.remarks(row)) if bound else (),
            dropped=reasons.get(i),
        )


def segment_numbers(rows: Sequence[Sequence[Segment]], encoder: Encoder) -> np.ndarray:
    """Of which segment of its row each token is.

    Labels say of each token whether its segment is trained, and the ids do not depend on it. So the
    tokenizer is asked once for each binary digit: which tokens are of segments with a 1 there.

    Args:
        rows: The segments of each row.
        encoder: The tokenizer.

    Returns:
        int64, shape (T,): all tokens of the rows, one after the other.
    """
    digits = (max(map(len, rows), default=1) - 1).bit_length()
    numbers = np.zeros(0, np.int64)
    for digit in range(max(1, digits)):
        batch = SegmentBatch()
        for row in rows:
            batch.add([replace(s, train=bool(i >> digit & 1)) for i, s in enumerate(row)])
        labels = tokenize(batch, encoder)[0].labels
        numbers = (labels != IGNORE_INDEX).astype(np.int64) << digit | (numbers if digit else 0)
    return numbers
