"""What became of the rows of each source, as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from axolotl.core.console import print_block
from axolotl.data.counts import Rows
from axolotl.data.report import SourceReport, listed, titles
from axolotl.data.tokenize import TOO_LONG

if TYPE_CHECKING:
    from rich.console import Console

BARS = "▁▂▃▄▅▆▇█"
NAME_WIDTH = 18
"""As long as names may be at least; columns move closer together and say less for it."""
COUNTS = ("source", "read", "kept", "split", "cut", "dropped", "tokens", "trained")
COUNTS += ("median", "longest")
_IF_ANY = ("split", "cut", "dropped")
"""Columns that are left out where all is zero."""


def print_sources(reports: Sequence[SourceReport], console: Console) -> None:
    """Print counts, lengths, and what was not kept as it is, source by source.

    Args:
        reports: What became of the rows.
        console: Where; its width decides how long names may be.
    """
    from rich.padding import Padding
    from rich.text import Text

    called = titles(reports)
    names = [called[report.key] for report in reports]
    wide = [[name, *_counts(r, wide=True)] for name, r in zip(names, reports, strict=True)]
    tight = [[name, *_counts(r, wide=False)] for name, r in zip(names, reports, strict=True)]
    _print_table("Rows", COUNTS, wide, tight, console)
    if any(rows for report in reports for _, rows in report.lengths):
        header, bars = _lengths(reports, console.width)
        cells = [[name, *row] for name, row in zip(names, bars, strict=True)]
        _print_table("Lengths in tokens", header, cells, cells, console)
    for name, report in zip(names, reports, strict=True):
        lines = list(_details(report))
        if lines:
            console.print(Text(f"\n{name}", style="bold"), soft_wrap=True)
        for line in lines:
            print_block(Padding(Text(line), (0, 0, 0, 2), expand=False), console)
    console.print()


def _counts(report: SourceReport, *, wide: bool) -> list[str]:
    dropped = sum(rows.count for rows in report.left_out.values())
    share = percent(report.trained_tokens, report.tokens)
    return [
        short(report.rows_read),
        short(report.rows_kept),
        short(report.split.count),
        short(report.truncated.count),
        short(dropped),
        short(report.tokens),
        f"{short(report.trained_tokens)} {share:>4}" if wide else share,
        short(report.median_tokens),
        short(report.longest_tokens),
    ]


def _print_table(
    title: str,
    header: Sequence[str],
    wide: Sequence[Sequence[str]],
    tight: Sequence[Sequence[str]],
    console: Console,
) -> None:
    from rich.table import Table
    from rich.text import Text

    shown = [
        i
        for i, name in enumerate(header)
        if name not in _IF_ANY or any(row[i] != "0" for row in wide)
    ]
    cells, gap, room = wide, 2, 0
    for cells, gap in ((wide, 2), (wide, 1), (tight, 2), (tight, 1)):
        widths = [max(len(row[i]) for row in [header, *cells]) + gap for i in shown[1:]]
        room = console.width - sum(widths)
        if room >= max(NAME_WIDTH, min(30, max(len(row[0]) for row in cells))):
            break
    table = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False)
    for i in shown:
        table.add_column(Text(header[i]), justify="right" if i else "left", no_wrap=True)
    for row in cells:
        table.add_row(*(Text(row[i] if i else shorten(row[i], room)) for i in shown))
    console.print(Text(f"\n{title}", style="bold"))
    print_block(table, console)


def _lengths(reports: Sequence[SourceReport], width: int) -> tuple[list[str], list[list[str]]]:
    """The share of the rows in each bin of lengths, bins that are empty everywhere left out."""
    filled = [
        i for i in range(len(reports[0].lengths)) if any(report.lengths[i][1] for report in reports)
    ]
    first, last = filled[0], filled[-1]
    most = max(1, (width - NAME_WIDTH) // len("≤ 1,024 "))
    first_shown = max(first, last + 1 - most)
    header = [
        "source",
        *(f"≤ {short(reports[0].lengths[i][0])}" for i in range(first_shown, last + 1)),
    ]
    rows: list[list[str]] = []
    for report in reports:
        counts = [rows for _, rows in report.lengths]
        shown = [sum(counts[: first_shown + 1]), *counts[first_shown + 1 : last + 1]]
        tallest = max(shown)
        rows.append([_bar(count, tallest, sum(shown)) for count in shown])
    return header, rows


def _bar(count: int, tallest: int, whole: int) -> str:
    if not count:
        return "·"
    return BARS[min(7, count * 8 // tallest)] + percent(count, whole)


def _details(report: SourceReport) -> Iterator[str]:
    def said(rows: Rows) -> str:
        return rows.below(report.name)

    for reason, rows in listed(report.left_out):
        longest = report.longest_dropped_tokens
        more = f", the longest of {longest:,} tokens" if reason == TOO_LONG else ""
        yield f"dropped, {reason}: {said(rows)}{more}"
    if report.truncated.count:
        yield f"cut to sequence_len: {said(report.truncated)}"
    if report.split.count:
        yield f"split into several: {said(report.split)}"


def percent(count: int, whole: int) -> str:
    """A share in whole percent, never 0% or 100% for a part.

    >>> percent(1, 1000), percent(999, 1000), percent(0, 7)
    ('<1%', '>99%', '0%')
    """
    if not whole:
        return "0%"
    if 0 < count < whole * 0.01:
        return "<1%"
    if whole * 0.99 < count < whole:
        return ">99%"
    return f"{count / whole:.0%}"


def short(count: int) -> str:
    """A number in at most seven characters.

    >>> short(52002), short(1234567), short(12345678901)
    ('52,002', '1.23M', '12.3G')
    """
    if count < 1_000_000:
        return f"{count:,}"
    value, unit = float(count), ""
    for letter in "kMGT":
        if value < 999.5:
            break
        value, unit = value / 1000, letter
    return f"{value:.3g}{unit}"


def shorten(name: str, width: int) -> str:
    """The end of a name that is too long; the end tells files apart.

    >>> shorten("some/long/folder/data.jsonl", 12)
    '…/data.jsonl'
    """
    return name if len(name) <= width else f"…{name[len(name) - width + 1 :]}"
