"""Curves of `metrics.jsonl`, in whatever state a run left it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from axolotl.reports.curves import MOST_POINTS, Curve, read_curves
from axolotl.reports.line_chart import HEIGHT, WIDTH, Line, line_chart


def curve(*values: float | None) -> Curve:
    made = Curve()
    for step, value in enumerate(values, start=1):
        made.add(step, value)
    return made


def test_lines_of_no_use_are_counted_and_left_out(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    lines = ['{"step": 1, "loss": 2.5, "note": "x", "flag": null}', "", "[1]", '{"loss": 1}', "NaN"]
    lines += ['{"step": 2, "loss": NaN, "grad_norm": Infinity}', '{"step": 3, "loss": 1.5}']
    file.write_bytes("\n".join(lines).encode() + b'\n\xff\xfe\n{"step": 4')
    found = read_curves(file)
    assert (found.lines, found.broken_lines, found.last_step) == (8, 5, 3)
    loss = found.curve("loss")
    assert (list(loss.steps), list(loss.values), list(loss.gaps)) == ([1, 3], [2.5, 1.5], [2])
    assert list(found.curve("grad_norm").gaps) == [2]
    assert "note" not in found.curves
    assert read_curves(tmp_path / "none").lines == 0


def test_what_a_resumed_run_did_again_counts_once(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    steps = [1, 2, 3, 4, 3, 4, 5]
    lines = [json.dumps({"step": s, "loss": s + i / 10}) for i, s in enumerate(steps)]
    lines.insert(3, '{"step": 3, "eval_loss": null}')
    file.write_text("\n".join(lines))
    found = read_curves(file).curve("loss")
    assert list(found.steps) == [1, 2, 3, 4, 5]
    assert found.values[2] == pytest.approx(3.4)


def test_many_lines_become_few_points(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    with file.open("w") as out:
        for step in range(1, 50_001):
            loss = 9.0 if step == 31_234 else 1 + step % 2
            out.write(json.dumps({"step": step, "loss": loss}) + "\n")
    found = read_curves(file).curve("loss")
    points = found.points()
    assert len(points) <= MOST_POINTS
    assert (31_234, 9.0) in points
    assert min(value for _, value in points) == 1
    assert points == sorted(points)
    made = line_chart("Loss", [Line("loss", found, 0)], from_zero=False)
    assert made is not None
    assert len(made[0]) < 60_000
    assert 'class="line c0 faint"' in made[0]


def drawn(*values: float | None, from_zero: bool = True) -> str:
    made = line_chart("Loss", [Line("loss", curve(*values), 0)], from_zero=from_zero)
    assert made is not None
    return made[0]


def places(html: str) -> list[tuple[float, float]]:
    path = re.search(r'class="line c0" d="M([^"]*)"', html)
    assert path
    return [(float(x), float(y)) for x, y in (at.split() for at in path[1].split("L"))]


def test_points_stand_where_their_values_are() -> None:
    assert places(drawn(0, 4, 2)) == [(0, HEIGHT), (WIDTH / 2, 0), (WIDTH, HEIGHT / 2)]
    assert places(drawn(-1, 1)) == [(0, HEIGHT), (WIDTH, 0)]
    assert places(drawn(5, 5, from_zero=False))[0][1] == pytest.approx(HEIGHT / 2, abs=40)
    assert len(places(drawn(7))) == 1


def test_a_spike_does_not_flatten_the_rest() -> None:
    html = drawn(*[1.0, 2.0] * 20, 1e9)
    assert "cut off above 2: 1 point" in html
    assert min(y for _, y in places(html)) == 0
    assert "cut off" not in drawn(*[1.0, 2.0] * 20, 5.0)


def test_what_is_no_number_is_marked_and_said() -> None:
    html = drawn(1, None, 3, float("nan"))
    assert html.count('class="gap"') == 2
    assert "loss is no number 2 times, first at step 2" in html
    assert line_chart("Loss", [Line("loss", curve(None, None), 0)]) is None
    assert line_chart("Loss", [Line("loss", Curve(), 0)]) is None


@pytest.mark.parametrize("values", [(1e-300, 1e-300), (1e308, -1e308), (0, 0), (1e-9, 2e-9)])
def test_extreme_values_are_drawn(values: tuple[float, float]) -> None:
    for x, y in places(drawn(*values)):
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT
