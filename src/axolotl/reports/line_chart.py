"""A chart of curves as HTML and SVG; its colours and sizes are those of the page's style sheet.

The drawing is stretched to the width that there is, and its texts stand beside it, so that they keep
their size on a small screen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from axolotl.reports.curves import MOST_POINTS, Curve

WIDTH, HEIGHT = 1000, 300
COLOURS = 6
"""The style sheet has so many colours for curves; further ones begin anew."""
_FAR = 1e300
"""Nothing beyond it is drawn: the length of the axis must be a number."""
_SPIKE = 8
"""Values so many times the usual height above the others are cut off, or nothing else is seen."""


@dataclass(frozen=True, slots=True)
class Line:
    """One curve of a chart.

    Args:
        label: What it is called.
        curve: Its points.
        colour: Number of its colour.
        dots: Whether its points are marked, as of what is measured now and then.
        dashed: Whether it is dashed.
    """

    label: str
    curve: Curve
    colour: int
    dots: bool = False
    dashed: bool = False


def line_chart(
    title: str,
    lines: Sequence[Line],
    *,
    unit: str = "",
    from_zero: bool = True,
    say: Callable[[float], str] = "{:.4g}".format,
) -> tuple[str, dict[str, Any]] | None:
    """A chart, and what the page's script needs of it; None where nothing was measured.

    Args:
        title: What is shown.
        lines: The curves.
        unit: What the values are counted in.
        from_zero: Whether the axis begins at 0.
        say: How a value is written.
    """
    drawn = [line for line in lines if line.curve.steps or line.curve.gaps]
    if not any(line.curve.steps for line in drawn):
        return None
    points = [line.curve.points() for line in drawn]
    steps = [step for some in points for step, _ in some]
    begin, end = min(steps), max(steps)
    values = [value for some in points for _, value in some]
    ticks = _ticks(*_bounds(values, from_zero=from_zero))
    low, high = ticks[0], ticks[-1]
    cut = sum(value > high for value in values)

    def place(step: float, value: float) -> str:
        x = (step - begin) / ((end - begin) or 1) * WIDTH
        y = HEIGHT - (min(max(value, low), high) - low) / (high - low) * HEIGHT
        return f"{x:.1f} {y:.1f}"

    paths = "".join(_path(line, some, place) for line, some in zip(drawn, points, strict=True))
    grid = "".join(
        f'<path class="grid" d="M0 {HEIGHT * i / (len(ticks) - 1):.1f}H{WIDTH}"/>'
        for i in range(len(ticks))
    )
    gaps = "".join(
        f'<path class="gap" d="M{place(step, low)}v-{HEIGHT}"/>'
        for line in drawn
        for step in line.curve.gaps[:50]
    )
    spread = [begin + (end - begin) * i / 4 for i in range(5)] if end > begin else [begin]
    remarks = _remarks(drawn, cut=cut, high=say(high))
    html = (
        f'<figure class="chart"><figcaption><b>{escape(title)}</b>'
        f"{f' <small>{escape(unit)}</small>' if unit else ''}{_legend(drawn)}</figcaption>"
        f'<div class="area"><div class="y">{_texts([say(t) for t in reversed(ticks)])}</div>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(_in_words(title, drawn, say))}">{grid}{gaps}{paths}'
        f'<path class="cursor" d="M0 0"/></svg>'
        f'<div class="x">{_texts([f"{round(step):,}" for step in spread])}</div></div>'
        f'<p class="readout" aria-hidden="true">step {round(begin):,} to {round(end):,}</p>'
        + "".join(f'<p class="remark">{escape(text)}</p>' for text in remarks)
        + "</figure>"
    )
    data = {
        "begin": begin,
        "end": end,
        "lines": [
            {"label": line.label, "steps": [s for s, _ in some], "said": [say(v) for _, v in some]}
            for line, some in zip(drawn, points, strict=True)
        ],
    }
    return html, data


def _path(
    line: Line, points: Sequence[tuple[float, float]], place: Callable[[float, float], str]
) -> str:
    if not points:
        return ""
    kind = f"line c{line.colour % COLOURS}" + (" dashed" if line.dashed else "")
    places = [place(*point) for point in points]
    if len(line.curve.steps) > MOST_POINTS:  # peaks and troughs alone would be one broad band
        means = "L".join(place(*point) for point in line.curve.means())
        faint = f'<path class="{kind} faint" d="M{"L".join(places)}"/>'
        return f'{faint}<path class="{kind}" d="M{means}"/>'
    drawn = f'<path class="{kind}" d="M{"L".join(places)}"/>'
    if line.dots or len(places) == 1:  # points of no length, which round ends make dots of
        drawn += f'<path class="{kind} dots" d="{"".join(f"M{at}h0" for at in places)}"/>'
    return drawn


def _legend(lines: Sequence[Line]) -> str:
    if len(lines) == 1:
        return ""
    keys = "".join(
        f'<span class="key k{line.colour % COLOURS}{" dashed" if line.dashed else ""}">'
        f"{escape(line.label)}</span>"
        for line in lines
    )
    return f'<span class="legend">{keys}</span>'


def _texts(texts: Sequence[str]) -> str:
    return "".join(f"<span>{escape(text)}</span>" for text in texts)


def _in_words(title: str, lines: Sequence[Line], say: Callable[[float], str]) -> str:
    """The chart for those who cannot see it."""
    said = [
        f"{line.label} from {say(line.curve.values[0])} to {say(line.curve.values[-1])}"
        for line in lines
        if line.curve.values
    ]
    return f"{title}: {'; '.join(said)}"


def _remarks(lines: Sequence[Line], *, cut: int, high: str) -> list[str]:
    found = [f"cut off above {high}: {cut:,} {'point' if cut == 1 else 'points'}"] if cut else []
    for line in lines:
        gaps = line.curve.gaps
        if gaps:
            times = f"{len(gaps):,} times" if len(gaps) > 1 else "once"
            found.append(f"{line.label} is no number {times}, first at step {round(gaps[0]):,}")
    return found


def _bounds(values: Sequence[float], *, from_zero: bool) -> tuple[float, float]:
    """Lowest and highest value to be seen.

    >>> _bounds([2.0, 3.0, 2.5], from_zero=False)
    (2.0, 3.0)
    >>> _bounds([1.0, 1.2] * 50 + [1e9], from_zero=True)
    (0.0, 1.2)
    """
    ordered = sorted(values)
    low = min(0.0, ordered[0]) if from_zero else ordered[0]
    usual = ordered[int(0.98 * (len(ordered) - 1))]
    high = ordered[-1]
    if len(ordered) >= 20 and high - low > _SPIKE * (usual - low) > 0:
        high = usual
    return max(low, -_FAR), min(high, _FAR)


def _ticks(low: float, high: float) -> list[float]:
    """Round values, evenly spread, that have both bounds between them.

    >>> _ticks(0, 0.93), _ticks(5.04, 6.2), _ticks(3, 3)
    ([0.0, 0.25, 0.5, 0.75, 1.0], [5.0, 5.5, 6.0, 6.5], [2.0, 2.5, 3.0, 3.5, 4.0])
    """
    if high - low <= 1e-12 * max(abs(low), abs(high), 1e-300):
        spare = abs(low) or 1.0
        low, high = (low - spare / 3, high + spare / 3) if low else (0.0, 1.0)
    rough = (high - low) / 4
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, max(last, first + 1) + 1)]
