"""The numbers of `metrics.jsonl` as curves that a page can draw, also of a million lines."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

MOST_POINTS = 800
"""Points of a curve; more than a chart has columns are not to be seen."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One figure over the steps.

    Args:
        steps: Steps, rising.
        values: What was measured; no value is infinite or no number.
        gaps: Steps at which it was not finite.
    """

    steps: array[float] = field(default_factory=lambda: array("d"))
    values: array[float] = field(default_factory=lambda: array("d"))
    gaps: array[float] = field(default_factory=lambda: array("d"))

    def add(self, step: float, value: float | None) -> None:
        """Take in a line; what came before and belongs to later steps is of a run that was resumed."""
        while self.steps and self.steps[-1] >= step:
            self.steps.pop()
            self.values.pop()
        while self.gaps and self.gaps[-1] >= step:
            self.gaps.pop()
        if value is None or not math.isfinite(value):
            self.gaps.append(step)
        else:
            self.steps.append(step)
            self.values.append(value)

    @property
    def first(self) -> float | None:
        """The first value; None without any."""
        return self.values[0] if self.values else None

    @property
    def last(self) -> float | None:
        """The last value; None without any."""
        return self.values[-1] if self.values else None

    @property
    def best(self) -> tuple[float, float] | None:
        """Step and value where it was lowest; None without any."""
        if not self.values:
            return None
        at = min(range(len(self.values)), key=self.values.__getitem__)
        return self.steps[at], self.values[at]

    def points(self, most: int = MOST_POINTS) -> list[tuple[float, float]]:
        """At most so many points, among them every peak and every trough.

        >>> curve = Curve()
        >>> for step in range(1000):
        ...     curve.add(step, 9.0 if step == 501 else 1.0)
        >>> shown = curve.points(20)
        >>> len(shown) <= 20, (501.0, 9.0) in shown, shown[0][0], shown[-1][0]
        (True, True, 0.0, 999.0)
        """
        count = len(self.steps)
        if count <= most:
            return list(zip(self.steps, self.values, strict=True))
        parts = (most - 2) // 2
        kept = {0, count - 1}
        for part in range(parts):
            inside = range(part * count // parts, (part + 1) * count // parts)
            kept |= {f(inside, key=self.values.__getitem__) for f in (min, max)}
        return [(self.steps[i], self.values[i]) for i in sorted(kept)]

    def means(self, parts: int = MOST_POINTS // 4) -> list[tuple[float, float]]:
        """Middle step and mean of as many equal parts of the curve.

        >>> curve = Curve()
        >>> for step in range(6):
        ...     curve.add(step, step % 2)
        >>> curve.means(3)
        [(0.5, 0.5), (2.5, 0.5), (4.5, 0.5)]
        """
        count = len(self.steps)
        ends = [part * count // parts for part in range(parts + 1)]
        return [
            (sum(self.steps[a:b]) / (b - a), sum(self.values[a:b]) / (b - a))
            for a, b in pairwise(ends)
            if b > a
        ]


@dataclass
class Metrics:
    """All of a metrics file.

    Args:
        curves: Name of a figure → its curve.
        lines: How many lines were read.
        broken_lines: How many of them are no JSON object with a step.
        last_step: The last step; None without lines.
        trained_tokens: Tokens trained so far, as the last line says.
        epoch: Passes over the data so far, likewise.
    """

    curves: dict[str, Curve] = field(default_factory=dict[str, Curve])
    lines: int = 0
    broken_lines: int = 0
    last_step: float | None = None
    trained_tokens: float | None = None
    epoch: float | None = None

    def curve(self, name: str) -> Curve:
        """The curve of a figure; an empty one where it was never measured."""
        return self.curves.get(name) or Curve()


_PLACES = ("step", "epoch", "trained_tokens")


def read_curves(file: Path) -> Metrics:
    """Read a metrics file, whatever state a run left it in.

    Args:
        file: The file; may be missing, end in the middle of a line, or have lines of no use.
    """
    found = Metrics()
    if not file.is_file():
        return found
    for line in _objects(file, found):
        step = _number(line.get("step"))
        if step is None:
            found.broken_lines += 1
            continue
        found.last_step = step
        found.epoch = _number(line.get("epoch")) or found.epoch
        found.trained_tokens = _number(line.get("trained_tokens")) or found.trained_tokens
        for name, value in line.items():
            if name not in _PLACES and (value is None or isinstance(value, int | float)):
                found.curves.setdefault(name, Curve()).add(step, value)
    return found


def _objects(file: Path, found: Metrics) -> Iterator[Mapping[str, Any]]:
    with file.open("rb") as lines:
        for line in lines:
            if not line.strip():
                continue
            found.lines += 1
            try:
                content = json.loads(line)
            except ValueError:
                content = None
            if isinstance(content, dict):
                yield cast("dict[str, Any]", content)
            else:
                found.broken_lines += 1


def _number(value: Any) -> float | None:
    usable = isinstance(value, int | float) and math.isfinite(value)
    return float(value) if usable else None
