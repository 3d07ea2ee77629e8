"""The learning rate is the library's at every step; files of the folder keep the protocol."""

from __future__ import annotations

import doctest
import importlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import BaseModel, ValidationError
from transformers import (
    get_constant_schedule,
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)

from axolotl import registry

NAMES = ("constant", "constant_with_warmup", "cosine", "linear")
STEPS = [(10, 0), (10, 3), (100, 100), (1, 0), (1, 1), (3, 2), (250, 7)]


def library_rates(make: Callable[[torch.optim.Optimizer], Any], steps: int) -> list[float]:
    """The learning rate before each step, and after the last."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimizer)
    rates: list[float] = []
    for _ in range(steps + 1):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return rates


def our_rates(name: str, total: int, warmup: int, **kwargs: Any) -> list[float]:
    schedule = registry.load("axolotl.schedules", name)
    options = schedule.Options(**kwargs)
    return [schedule.factor(step, total, warmup, options) for step in range(total + 1)]


@pytest.mark.parametrize(("total", "warmup"), STEPS)
@pytest.mark.parametrize("cycles", [0.5, 0.25, 1.5])
def test_cosine(total: int, warmup: int, cycles: float) -> None:
    def make(optimizer: torch.optim.Optimizer) -> Any:
        return get_cosine_schedule_with_warmup(optimizer, warmup, total, num_cycles=cycles)

    ours = our_rates("cosine", total, warmup, num_cycles=cycles)
    assert ours == pytest.approx(library_rates(make, total), abs=1e-15)


@pytest.mark.parametrize(("total", "warmup"), STEPS)
def test_cosine_ends_at_zero_unless_told(total: int, warmup: int) -> None:
    assert our_rates("cosine", total, warmup) == our_rates("cosine", total, warmup, num_cycles=0.5)
    if warmup < total:
        assert our_rates("cosine", total, warmup)[-1] == pytest.approx(0.0)


@pytest.mark.parametrize(("total", "warmup"), STEPS)
def test_linear(total: int, warmup: int) -> None:
    def make(optimizer: torch.optim.Optimizer) -> Any:
        return get_linear_schedule_with_warmup(optimizer, warmup, total)

    assert our_rates("linear", total, warmup) == library_rates(make, total)


@pytest.mark.parametrize(("total", "warmup"), STEPS)
@pytest.mark.parametrize("name", ["constant", "constant_with_warmup"])
def test_constant(name: str, total: int, warmup: int) -> None:
    def make(optimizer: torch.optim.Optimizer) -> Any:
        return get_constant_schedule_with_warmup(optimizer, warmup)

    assert our_rates(name, total, warmup) == library_rates(make, total)
    assert our_rates(name, total, 0) == library_rates(get_constant_schedule, total)


def test_only_constant_does_not_warm_up_by_itself() -> None:
    assert registry.available("axolotl.schedules") == NAMES
    without = [n for n in NAMES if not registry.load("axolotl.schedules", n).WARMS_UP]
    assert without == ["constant"]


@pytest.mark.parametrize("name", NAMES)
def test_options_refuse_what_they_do_not_know(name: str) -> None:
    options = registry.load("axolotl.schedules", name).Options
    assert issubclass(options, BaseModel)
    with pytest.raises(ValidationError, match="num_cyles"):
        options(num_cyles=1)


def test_a_cosine_has_to_move() -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        registry.load("axolotl.schedules", "cosine").Options(num_cycles=0)


@pytest.mark.parametrize("name", ["constant", "cosine", "linear"])
def test_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"axolotl.schedules.{name}"))
    assert result.attempted > 0
    assert result.failed == 0
