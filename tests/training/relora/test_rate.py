"""The scale of the learning rate between restarts, at every step."""

from __future__ import annotations

import math

import pytest

from axolotl.config.relora import ReloraSection
from axolotl.training.relora.rate import restarts_before, scale, with_restarts


@pytest.mark.parametrize("every", [1, 3, 10])
@pytest.mark.parametrize("warmup", [0, 1, 4, 10, 25])
def test_it_is_one_before_the_first_restart_and_rises_in_a_line_after_each(
    every: int, warmup: int
) -> None:
    for step in range(45):
        want = 1.0
        if step >= every and warmup:
            want = 0.001 + 0.999 * min(1.0, (step % every) / warmup)
        assert math.isclose(scale(step, every=every, warmup=warmup), want, rel_tol=1e-12), step


def test_it_falls_before_a_restart_and_not_before_the_end() -> None:
    got = [scale(step, every=5, warmup=2, anneal=3, total=13) for step in range(13)]
    low, line = 0.001, lambda share: 0.001 + 0.999 * share
    first = [1.0, 1.0, 1.0, line(2 / 3), line(1 / 3)]
    second = [low, line(1 / 2), 1.0, line(2 / 3), line(1 / 3)]
    assert got == pytest.approx([*first, *second, low, line(1 / 2), 1.0])


def test_without_restarts_the_schedule_is_left_alone() -> None:
    def factor(step: int) -> float:
        return 1.0 / (1 + step)

    assert with_restarts(factor, ReloraSection(), total=9) is factor
    scaled = with_restarts(factor, ReloraSection(relora_steps=4, relora_warmup_steps=2), total=9)
    assert [scaled(step) / factor(step) for step in range(3, 7)] == [1.0, 0.001, 0.5005, 1.0]


def test_a_restart_that_is_due_is_not_counted_before_it_happens() -> None:
    assert [restarts_before(step, 3) for step in range(8)] == [0, 0, 0, 0, 1, 1, 1, 2]
