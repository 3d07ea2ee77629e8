"""The charts of a report: one for each figure, with the curves of all runs in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from axolotl.reports.line_chart import Line, line_chart
from axolotl.reports.report_text import size
from axolotl.reports.run_files import RunFiles

_OTHER_EVAL = re.compile(r"eval_(.+)_loss")
_BENCH = re.compile(r"bench_(.+_)?accuracy(_.+)?|bench_average_accuracy")


class Chart(NamedTuple):
    """A chart of one figure.

    Args:
        title: Its title.
        name: The figure, as `metrics.jsonl` calls it.
        unit: What it is counted in.
        say: How its values are written.
    """

    title: str
    name: str
    unit: str
    say: Callable[[float], str]


def _few(value: float) -> str:
    """A number with few digits.

    >>> _few(12345.6), _few(0.0002), _few(1.5)
    ('12,346', '0.0002', '1.5')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


_PLAIN = (
    Chart("Learning rate", "learning_rate", "", "{:.3g}".format),
    Chart("Gradient norm", "grad_norm", "before clipping", _few),
    Chart("Speed", "tokens_per_second", "tokens per second", _few),
)
_MEMORY = (
    ("peak_memory_bytes", "most so far"),
    ("memory_bytes", "now"),
    ("reserved_memory_bytes", "reserved"),
)


def charts(runs: Sequence[RunFiles]) -> list[tuple[str, dict[str, Any]]]:
    """HTML of each chart, and what the page's script needs of it."""
    found = [line_chart("Loss", _losses(runs), unit="nats per token", from_zero=False, say=_few)]
    for chart in _PLAIN:
        lines = [
            Line(run.label, run.metrics.curve(chart.name), colour)
            for colour, run in enumerate(runs)
        ]
        found.append(line_chart(chart.title, lines, unit=chart.unit, say=chart.say))
    found.append(line_chart("Memory", _memory(runs), say=size))
    accuracy = [
        Line(_named(runs, run, name.removeprefix("bench_")), curve, colour, dots=True)
        for colour, (run, name, curve) in enumerate(_all(runs, _BENCH))
    ]
    found.append(line_chart("Multiple choice", accuracy, unit="share of right answers"))
    return [chart for chart in found if chart is not None]


def _losses(runs: Sequence[RunFiles]) -> list[Line]:
    """Loss in training and on held-out rows: by colour in one run, dashed beside it in several."""
    lines: list[Line] = []
    for number, run in enumerate(runs):
        train, held_out = run.metrics.curve("loss"), run.metrics.curve("eval_loss")
        alone = len(runs) == 1
        lines.append(Line(_named(runs, run, "in training"), train, number))
        lines.append(
            Line(
                _named(runs, run, "held-out rows"),
                held_out,
                number + alone,
                dots=True,
                dashed=not alone,
            )
        )
    others = enumerate(_all(runs, _OTHER_EVAL), start=len(runs) + 1)
    return lines + [
        Line(_named(runs, run, name[5:-5]), curve, colour, dots=True, dashed=True)
        for colour, (run, name, curve) in others
    ]


def _memory(runs: Sequence[RunFiles]) -> list[Line]:
    if len(runs) > 1:
        name = _MEMORY[0][0]
        return [Line(run.label, run.metrics.curve(name), i) for i, run in enumerate(runs)]
    return [
        Line(label, runs[0].metrics.curve(name), colour)
        for colour, (name, label) in enumerate(_MEMORY)
    ]


def _all(runs: Sequence[RunFiles], pattern: re.Pattern[str]) -> list[tuple[RunFiles, str, Any]]:
    return [
        (run, name, curve)
        for run in runs
        for name, curve in run.metrics.curves.items()
        if pattern.fullmatch(name)
    ]


def _named(runs: Sequence[RunFiles], run: RunFiles, what: str) -> str:
    return what if len(runs) == 1 else f"{run.label}, {what}"
