"""What became of the rows of each source: one entry of `datasets`, with all its files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

import numpy as np

from axolotl.data.batches import Part
from axolotl.data.counts import LISTED_ROWS, FileCounts, Kind, Rows
from axolotl.data.steering import STEERED

LISTED_REASONS = 8
SHORTEST_BIN = 16
"""Upper end of the first bin of the histogram of lengths, in tokens; each bin is twice as wide."""


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What became of the rows of one source.

    Args:
        key: Its place in the YAML file, such as `datasets.0`.
        name: Its file, or where its files are.
        format: The `type` of its rows.
        files: How many files it has.
        rows_read: Its rows.
        rows_kept: Rows of the store that come from it; a row split in three counts three.
        split: Rows that were split into several because they were too long.
        truncated: Rows that lost their end because they were too long.
        dropped: Rows that are not in the store, by reason.
        bad: Rows that are not in the store because they cannot be used, by what is wrong with them.
        remarks: Rows of which their format has something to say, by what it is.
        control: Rows whose own text gave a special token.
        padded_rows: Pretokenized rows that were stored without their padding.
        tokens: Tokens in the store.
        trained_tokens: Those that carry a label.
        median_tokens: Length of the row in the middle; 0 without rows.
        longest_tokens: Length of the longest row; 0 without rows.
        longest_dropped_tokens: Length of the longest row that was dropped for it; 0 for none.
        lengths: Rows of the store by length: the most tokens of a bin, and its rows.
    """

    key: str
    name: str
    format: str
    files: int
    rows_read: int
    rows_kept: int
    split: Rows
    truncated: Rows
    dropped: Mapping[str, Rows]
    bad: Mapping[str, Rows]
    remarks: Mapping[str, Rows]
    control: Rows
    padded_rows: int
    tokens: int
    trained_tokens: int
    median_tokens: int
    longest_tokens: int
    longest_dropped_tokens: int
    lengths: tuple[tuple[int, int], ...]

    @property
    def trained_share(self) -> float:
        """Share of the tokens that carry a label."""
        return self.trained_tokens / self.tokens if self.tokens else 0.0

    @property
    def evaluated(self) -> bool:
        """Whether it is of `test_datasets`."""
        return self.key.startswith("test_datasets.")

    @property
    def left_out(self) -> dict[str, Rows]:
        """All rows that are not in the store, by reason."""
        return {**self.dropped, **{f"cannot be used: {text}": r for text, r in self.bad.items()}}

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"trained_share": round(self.trained_share, 4)}


def source_reports(
    counts: Sequence[FileCounts], rows: np.ndarray, parts: Sequence[Part], *, capacity_tokens: int
) -> tuple[SourceReport, ...]:
    """One report for each source.

    Args:
        counts: What became of the rows, file by file.
        rows: What is known of the rows of the store, of `ROW_DTYPE`.
        parts: The files, in the order of `counts`.
        capacity_tokens: The longest row allowed, for the histogram.
    """
    found: list[SourceReport] = []
    sources = np.ascontiguousarray(rows["source"])  # in order
    for key in dict.fromkeys(part.key for part in parts):
        numbers = [i for i, part in enumerate(parts) if part.key == key]
        mine = rows[
            np.searchsorted(sources, numbers[0]) : np.searchsorted(sources, numbers[-1], "right")
        ]
        found.append(
            _report(
                key,
                [parts[i] for i in numbers],
                [counts[i] for i in numbers],
                mine,
                capacity_tokens,
            )
        )
    return tuple(found)


def _report(
    key: str,
    parts: Sequence[Part],
    counts: Sequence[FileCounts],
    rows: np.ndarray,
    capacity_tokens: int,
) -> SourceReport:
    labels = [part.source.label for part in parts]

    def by_text(kind: Kind) -> dict[str, Rows]:
        texts = dict.fromkeys(chain.from_iterable(file.groups.get(kind, {}) for file in counts))
        return {text: _rows(counts, labels, kind, text) for text in texts}

    def all_of(kind: Kind) -> Rows:
        return join_rows(by_text(kind).values())

    lengths = np.ascontiguousarray(rows["tokens"])
    bound = parts[0].bound
    return SourceReport(
        key=key,
        name=common_name(labels),
        format=bound.type if bound else "pretokenized",
        files=len(parts),
        rows_read=sum(file.read for file in counts),
        rows_kept=len(rows),
        split=all_of("split"),
        truncated=all_of("truncated"),
        dropped=by_text("dropped"),
        bad=by_text("bad"),
        remarks=by_text("remark"),
        control=all_of("control"),
        padded_rows=sum(file.padded for file in counts),
        tokens=int(lengths.sum(dtype=np.int64)),
        trained_tokens=int(rows["trained"].sum(dtype=np.int64)),
        median_tokens=int(np.median(lengths)) if lengths.size else 0,
        longest_tokens=int(lengths.max(initial=0)),
        longest_dropped_tokens=max(file.longest_dropped for file in counts),
        lengths=histogram(lengths, capacity_tokens=capacity_tokens),
    )


def histogram(lengths: np.ndarray, *, capacity_tokens: int) -> tuple[tuple[int, int], ...]:
    """Rows by length: each bin holds lengths up to twice those of the one before.

    Args:
        lengths: Tokens of each row.
        capacity_tokens: The longest row allowed: upper end of the last bin.

    >>> histogram(np.array([3, 16, 17, 100]), capacity_tokens=100)
    ((16, 2), (32, 1), (64, 0), (100, 1))
    """
    edges = [SHORTEST_BIN]
    while edges[-1] < capacity_tokens:
        edges.append(edges[-1] * 2)
    edges[-1] = capacity_tokens
    bins = np.searchsorted(edges, lengths)
    counts = np.bincount(bins, minlength=len(edges)).tolist()
    return tuple(zip(edges, counts, strict=True))


def join_rows(groups: Sequence[Rows] | Any) -> Rows:
    """Several groups of rows as one."""
    found = list(groups)
    places = tuple(chain.from_iterable(group.places for group in found))
    return Rows(sum(group.count for group in found), places[:LISTED_ROWS])


def join_reasons(groups: Sequence[Mapping[str, Rows]]) -> dict[str, Rows]:
    """Rows by reason, of several sources together."""
    texts = dict.fromkeys(chain.from_iterable(groups))
    return {text: join_rows([g[text] for g in groups if text in g]) for text in texts}


def listed(reasons: Mapping[str, Rows]) -> Iterator[tuple[str, Rows]]:
    """The reasons of most rows, and the rows of all others together; bad rows are bad in many ways."""
    most = sorted(reasons, key=lambda text: -reasons[text].count)[:LISTED_REASONS]
    yield from ((text, rows) for text, rows in reasons.items() if text in most)
    others = [text for text in reasons if text not in most]
    if others:
        yield f"{len(others):,} other reasons", join_rows([reasons[text] for text in others])


def source_warnings(reports: Sequence[SourceReport]) -> Iterator[str]:
    """What is worth a look in what became of the rows."""
    for report in reports:
        if not report.trained_tokens:
            reasons = "; ".join(
                f"{text}: {rows.below(report.name)}" for text, rows in report.left_out.items()
            )
            yield f"nothing of {report.key} ({report.name}) is trained; {reasons}"
    for report in reports:
        for text, rows in report.remarks.items():
            yield f"{text}: {rows}"
    control = join_rows([report.control for report in reports])
    if control.count:
        yield (f"text that is a special token became that token in rows: {control}; {STEERED}")
    padded = sum(report.padded_rows for report in reports)
    if padded:
        yield f"{padded:,} pretokenized rows were stored without their padding"


def titles(reports: Sequence[SourceReport]) -> dict[str, str]:
    """What to call each source in a list of all, by its key.

    Its name, and whether it is only evaluated on; where several have the same, their types as well,
    or their keys where those are the same too.

    Args:
        reports: The sources.
    """
    alike: dict[tuple[str, bool], list[SourceReport]] = {}
    for report in reports:
        alike.setdefault((report.name, report.evaluated), []).append(report)
    found: dict[str, str] = {}
    for (name, evaluated), same in alike.items():
        typed = len({report.format for report in same}) == len(same)
        for report in same:
            marks = [report.format if typed else report.key] if len(same) > 1 else []
            marks += ["evaluated"] if evaluated else []
            found[report.key] = name + (f" ({', '.join(marks)})" if marks else "")
    return found


def _scheme_and_path(label: str) -> tuple[str, str]:
    """An address as its beginning, such as `s3://`, and the rest; a path has no such beginning."""
    before, mark, behind = label.rpartition("://")
    return before + mark, behind


def common_name(labels: Sequence[str]) -> str:
    """The file, or the folder of the files and their number.

    >>> common_name(["d/a.jsonl", "d/b.jsonl"])
    'd (2 files)'
    """
    if len(labels) == 1:
        return labels[0]
    try:
        schemes, paths = zip(*(_scheme_and_path(label) for label in labels), strict=True)
        common = schemes[0] + os.path.commonpath(paths) if len(set(schemes)) == 1 else ""
    except ValueError:  # names of another kind
        common = ""
    return f"{common or labels[0] + ' …'} ({len(labels)} files)"


def _rows(counts: Sequence[FileCounts], labels: Sequence[str], kind: Kind, text: str) -> Rows:
    count, places = 0, []
    for file, label in zip(counts, labels, strict=True):
        group = file.groups.get(kind, {}).get(text)
        if group is not None:
            count += group.count
            places += [(label, row) for row in group.rows]
    return Rows(count, tuple(places[:LISTED_ROWS]))
