"""From the files to the rows of the preview, through the same code as in a preparation."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from axolotl.config import Sections
from axolotl.data.bad_rows import BadRows
from axolotl.data.batches import Batch, Part, batches
from axolotl.data.encoder import Encoder
from axolotl.data.entries import open_parts
from axolotl.data.landmarks import Blocks
from axolotl.data.lanes import open_lanes, pretraining_sources
from axolotl.data.steering import STEERED, steering_rows
from axolotl.data.tokenize import Limits, SegmentBatch, fit, tokenize
from axolotl.errors import DataError
from axolotl.records import IGNORE_INDEX, Segment
from axolotl.reports.preview import Piece, PreviewRow

_STEERING = f"text of the row that is a special token became that token; {STEERED}"


def all_parts(options: Sections, encoder: Encoder) -> list[Part]:
    """The files that are trained on, then those that are only evaluated.

    Args:
        options: The entries, and what holds for all of them.
        encoder: The tokenizer.

    Raises:
        DataError: a file is not there.
        UnknownName: no such `type`.
    """
    if pretraining_sources(options):
        parts = [part for lane in open_lanes(options, encoder) for part in lane.parts]
    else:
        parts = open_parts(options, encoder)
    tests = options.data.test_datasets or []
    return parts + open_parts(options, encoder, entries=tests, key="test_datasets")


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
    without = replace(limits, capacity_tokens=limits.room_tokens, blocks=None)
    fitted = fit(places, without, long_rows=long_rows)
    reasons = {int(i): reason for reason, which in fitted.dropped.items() for i in which}
    pieces: dict[int, list[Piece]] = {}
    bounds = zip(fitted.rows.offsets[:-1], fitted.rows.offsets[1:], strict=True)
    for origin, (begin, end) in zip(fitted.rows.origin.tolist(), bounds, strict=True):
        at = int(fitted.rows.input_ids[begin] - tokens.offsets[origin])
        pieces.setdefault(origin, []).append(Piece(at, at + int(end - begin)))
    bound = None if batch.pretokenized else part.bound
    segments = [tuple(bound.segments(row)) if bound else () for row in batch.rows]
    numbers = segment_numbers(segments, encoder) if bound else None
    steering = set(steering_rows(batch, bound, encoder))
    for i, (row, number) in enumerate(zip(batch.rows, batch.numbers, strict=True)):
        span = slice(tokens.offsets[i], tokens.offsets[i + 1])
        yield replace(
            _plain(part, int(number)),
            type=bound.type if bound else None,
            row=row,
            segments=segments[i],
            **_tokens(
                tokens.input_ids[span],
                tokens.labels[span],
                None if numbers is None else numbers[span],
                pieces.get(i, []),
                limits.blocks,
            ),
            remarks=(
                *(bound.remarks(row) if bound else ()),
                *([_STEERING] if i in steering else ()),
            ),
            dropped=reasons.get(i),
        )


def _tokens(
    ids: np.ndarray,
    labels: np.ndarray,
    segments: np.ndarray | None,
    pieces: Sequence[Piece],
    blocks: Blocks | None,
) -> dict[str, Any]:
    """Ids, labels, segments and pieces of a row, with the landmarks of its pieces.

    A landmark belongs to the segment of the token before it.
    """
    if blocks is not None and pieces:
        begins = [piece.begin for piece in pieces]
        behind = blocks.behind(ids, np.array([*begins, ids.size]))
        behind = behind[behind <= pieces[-1].end]
        moved = np.searchsorted(behind, [*begins, pieces[-1].end], side="right")
        labels = np.where(ids == blocks.token_id, IGNORE_INDEX, labels)
        if segments is not None:
            segments = np.insert(segments, behind, segments[behind - 1])
        ids = np.insert(ids, behind, blocks.token_id)
        labels = np.insert(labels, behind, IGNORE_INDEX)
        ends = [*begins[1:], pieces[-1].end]
        pieces = [
            Piece(begin + int(before), end + int(by))
            for begin, end, before, by in zip(begins, ends, moved, moved[1:], strict=False)
        ]
    return {
        "input_ids": ids.tolist(),
        "labels": labels.tolist(),
        "segment_of": () if segments is None else segments.tolist(),
        "pieces": tuple(pieces),
    }


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
