"""The number of steps, before anything is loaded."""

from __future__ import annotations

import pytest

from axolotl.training.arguments import Cadence, every
from axolotl.training.steps import count_steps


@pytest.mark.parametrize(
    ("rows", "accumulation", "epochs", "expected"),
    [(10, 1, 1, 10), (10, 4, 1, 3), (10, 4, 2, 6), (10, 4, 0.5, 2), (1, 8, 3, 3), (10, 4, 0.01, 1)],
)
def test_steps_of_epochs(rows: int, accumulation: int, epochs: float, expected: int) -> None:
    assert count_steps(rows, accumulation=accumulation, num_epochs=epochs).total == expected


def test_the_smaller_of_max_steps_and_epochs() -> None:
    assert count_steps(10, accumulation=1, num_epochs=3, max_steps=4).total == 4
    assert count_steps(10, accumulation=1, num_epochs=1, max_steps=40).total == 10
    assert count_steps(10, accumulation=1, num_epochs=None, max_steps=40).total == 40


@pytest.mark.parametrize(
    ("total", "expected"), [(20, 0), (100, 3), (1000, 30), (5000, 100), (100_000, 100)]
)
def test_warmup_by_rule(total: int, expected: int) -> None:
    assert count_steps(total, accumulation=1, num_epochs=1).warmup == expected


def test_warmup_as_told() -> None:
    def warmup(**options: float) -> int:
        return count_steps(100, accumulation=1, num_epochs=1, **options).warmup  # pyright: ignore[reportArgumentType]

    assert warmup(warmup_steps=0) == 0
    assert warmup(warmup_steps=7) == 7
    assert warmup(warmup_steps=700) == 100
    assert warmup(warmup_ratio=0.1) == 10


def test_warmup_of_a_schedule_by_itself() -> None:
    def steps(**options: int) -> int:
        counted = count_steps(
            100, accumulation=1, num_epochs=1, default_warmup=lambda total: total // 4, **options
        )
        return counted.warmup

    assert steps() == 25
    assert steps(warmup_steps=7) == 7
    assert steps(warmup_steps=0) == 0


@pytest.mark.parametrize(("total", "expected"), [(10, 1), (400, 2), (5000, 10), (100_000, 10)])
def test_logging_by_rule(total: int, expected: int) -> None:
    assert count_steps(total, accumulation=1, num_epochs=1).logging == expected


def test_steps_given_as_a_share() -> None:
    assert every("steps", 0.25, 40) == Cadence("steps", 10)
    assert every("steps", 0.001, 40) == Cadence("steps", 1)
    assert every("steps", 7, 40) == Cadence("steps", 7)
    assert every("epoch", 7, 40) == Cadence("epoch")
