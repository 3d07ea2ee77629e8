"""A histogram as SVG, to stand inside a page; its colours are the page's style sheet's."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_WIDTH, _HEIGHT, _FOOT, _TOP = 260, 74, 14, 13


def histogram(
    values: Sequence[float],
    *,
    title: str,
    unit: str,
    most: float | None = None,
    line: float | None = None,
    line_label: str = "",
    bins: int = 28,
) -> str:
    """How often which values occur, from 0 on.

    Args:
        values: The values, none below 0.
        title: What is shown, for readers of screens.
        unit: Said behind the values, such as `tokens` or `%`.
        most: End of the axis; by default the largest value or the line.
        line: Where a dashed line stands; bars behind it have the class `over`.
        line_label: What the line is.
        bins: Number of bars.

    Returns:
        An `<svg>`; every bar has a `<title>` with its bounds and count.
    """
    end = most or max([*values, (line or 0) * 1.04, 1])
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, int(value / end * bins))] += 1
    tallest = max(counts)
    step, room = _WIDTH / bins, _HEIGHT - _FOOT - _TOP
    drawn: list[str] = []
    for i, count in enumerate(counts):
        if not count:
            continue
        tall = max(1.5, count / tallest * room)
        low, high = i * end / bins, (i + 1) * end / bins
        over = ' class="over"' if line is not None and low >= line else ""
        drawn.append(
            f'<rect{over} x="{i * step + 0.5:.1f}" y="{_HEIGHT - _FOOT - tall:.1f}" '
            f'width="{step - 1:.1f}" height="{tall:.1f}">'
            f"<title>{low:,.0f} to {high:,.0f} {escape(unit)}: {count:,} rows</title></rect>"
        )
    return (
        f'<svg class="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">{"".join(drawn)}{_axis(end, unit)}'
        f"{_line(line, end, line_label)}"
        f"{_count(tallest, line, end)}</svg>"
    )


def _axis(end: float, unit: str) -> str:
    foot = _HEIGHT - _FOOT
    return (
        f'<path class="axis" d="M0 {foot}H{_WIDTH}"/><text x="0" y="{_HEIGHT - 3}">0</text>'
        f'<text class="end" x="{_WIDTH}" y="{_HEIGHT - 3}">{end:,.0f} {escape(unit)}</text>'
    )


def _count(tallest: int, line: float | None, end: float) -> str:
    """How many rows the tallest bar has, unless the line's label needs the place."""
    taken = line is not None and line / end < 0.15
    return "" if taken or not tallest else f'<text x="0" y="10">{tallest:,}</text>'


def _line(line: float | None, end: float, label: str) -> str:
    if line is None or line > end:
        return ""
    x = line / end * _WIDTH
    side, dx = ("end", -3) if x > _WIDTH / 2 else ("start", 3)
    return (
        f'<path class="line" d="M{x:.1f} 2V{_HEIGHT - _FOOT}"/>'
        f'<text class="line {side}" x="{x + dx:.1f}" y="10">{escape(label)}</text>'
    )
