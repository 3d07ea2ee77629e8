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
from axolotl.errors import ConfigErrors
from axolotl.schedules import fill_options

NAMES = ("constant", "constant_with_warmup", "cosine", "linear", "log_sweep", "one_cycle")
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


def test_how_a_schedule_warms_up_by_itself() -> None:
    assert registry.available("axolotl.schedules") == NAMES
    steps = {n: registry.load("axolotl.schedules", n).default_warmup(1000) for n in NAMES}
    assert [n for n in NAMES if steps[n] == 30] == ["constant_with_warmup", "cosine", "linear"]
    assert [n for n in NAMES if steps[n] == 0] == ["constant", "log_sweep"]
    assert steps["one_cycle"] == 300


@pytest.mark.parametrize(("total", "warmup"), STEPS)
def test_a_quadratic_warmup_of_the_cosine(total: int, warmup: int) -> None:
    straight = our_rates("cosine", total, warmup)
    bent = our_rates("cosine", total, warmup, lr_quadratic_warmup=True)
    assert bent[:warmup] == pytest.approx([rate**2 for rate in straight[:warmup]])
    assert bent[warmup:] == straight[warmup:]


@pytest.mark.parametrize(
    ("total", "warmup"), [(10, 0), (10, 3), (10, 10), (2, 2), (1, 0), (250, 7), (64, 50)]
)
@pytest.mark.parametrize("options", [{}, {"lr_div_factor": 25.0}, {"final_div_factor": 10.0}])
def test_one_cycle(total: int, warmup: int, options: dict[str, float]) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=1.0,
        total_steps=total,
        pct_start=warmup / total,
        div_factor=options.get("lr_div_factor", 6.0),
        final_div_factor=options.get("final_div_factor", 1e4),
    )
    rates = [scheduler.get_last_lr()[0]]
    for _ in range(total - 1):
        optimizer.step()
        scheduler.step()
        rates.append(scheduler.get_last_lr()[0])
    assert our_rates("one_cycle", total, warmup, **options)[:total] == pytest.approx(rates)


def test_one_cycle_with_a_single_step_up_begins_at_the_peak() -> None:
    assert our_rates("one_cycle", 4, 1)[0] == 1.0  # the library divides by zero
    assert our_rates("one_cycle", 1, 1)[0] == 1.0


def test_log_sweep() -> None:
    ends = {"log_sweep_min_lr": 1e-6, "log_sweep_max_lr": 1.0, "learning_rate": 0.5}
    rates = [0.5 * factor for factor in our_rates("log_sweep", 7, 3, **ends)]
    assert rates == pytest.approx([1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 1])
    by_default = our_rates("log_sweep", 12, 0)
    assert by_default[:2] == pytest.approx([1e-10, 1e-9])
    assert by_default[11] == pytest.approx(10)
    assert our_rates("log_sweep", 1, 0, **ends)[0] == pytest.approx(2e-6)


@pytest.mark.parametrize("name", NAMES)
def test_options_refuse_what_they_do_not_know(name: str) -> None:
    options = registry.load("axolotl.schedules", name).Options
    assert issubclass(options, BaseModel)
    with pytest.raises(ValidationError, match="num_cyles"):
        options(num_cyles=1)


def test_a_cosine_has_to_move() -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        registry.load("axolotl.schedules", "cosine").Options(num_cycles=0)


def fill(name: str, kwargs: dict[str, Any], **file: Any) -> Any:
    schedule: Any = registry.load("axolotl.schedules", name)
    return fill_options(schedule, kwargs=kwargs, file=file)


def test_options_of_the_file_and_those_of_the_schedule() -> None:
    options = fill("one_cycle", {"final_div_factor": 2}, lr_div_factor=3, learning_rate=1.0)
    assert (options.lr_div_factor, options.final_div_factor) == (3, 2)
    assert fill("one_cycle", {}, lr_div_factor=None).lr_div_factor == 6
    assert fill("log_sweep", {}, learning_rate=0.25).learning_rate == 0.25


@pytest.mark.parametrize(
    ("name", "kwargs", "file", "key", "text"),
    [
        ("cosine", {"num_cyles": 1}, {}, "lr_scheduler_kwargs.num_cyles", "'num_cycles'"),
        ("linear", {"num_cycles": 1}, {}, "lr_scheduler_kwargs.num_cycles", "it has no options"),
        ("cosine", {"num_cycles": 0}, {}, "lr_scheduler_kwargs.num_cycles", "greater than 0"),
        ("cosine", {"warmup_steps": 3}, {"warmup_steps": 3}, "lr_scheduler_kwargs.warmup_steps", "no option"),
        ("one_cycle", {"lr_div_factor": 3}, {"lr_div_factor": 3}, "lr_scheduler_kwargs.lr_div_factor", "write `lr_div_factor: 3`"),
        ("one_cycle", {}, {"lr_div_factor": 1}, "lr_div_factor", "greater than 1"),
        ("log_sweep", {}, {"log_sweep_min_lr": 20, "log_sweep_max_lr": None}, "log_sweep_max_lr", "^log_sweep_max_lr: should be above log_sweep_min_lr, 20, got 10"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_options(
    name: str, kwargs: dict[str, Any], file: dict[str, Any], key: str, text: str
) -> None:
    with pytest.raises(ConfigErrors, match=text) as caught:
        fill(name, kwargs, **file)
    assert [problem.key for problem in caught.value.problems] == [key]


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ConfigErrors) as caught:
        fill("cosine", {"num_cycles": 0, "speed": 1})
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize("name", ["constant", "cosine", "linear", "log_sweep", "one_cycle"])
def test_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"axolotl.schedules.{name}"))
    assert result.attempted > 0
    assert result.failed == 0


def test_the_example_of_the_usual_warmup() -> None:
    result = doctest.testmod(importlib.import_module("axolotl.schedules"))
    assert result.attempted > 0
    assert result.failed == 0
