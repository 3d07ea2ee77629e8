"""The learning rate is the library's at every step; files of the folder keep the protocol."""

from __future__ import annotations

import doctest
import importlib
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import BaseModel, ValidationError
from transformers import (
    SchedulerType,
    get_constant_schedule,
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
    get_scheduler,
)

from axolotl import registry
from axolotl.errors import ConfigError, ConfigErrors
from axolotl.schedules import fill_options, followed_loss

NAMES = registry.available("axolotl.schedules")
OWN = {"log_sweep", "one_cycle", "rex"}
FOLLOWING = {"greedy", "reduce_lr_on_plateau"}
NEEDED: dict[str, dict[str, Any]] = {
    "cosine_with_min_lr": {"min_lr_rate": 0.1},
    "cosine_warmup_with_min_lr": {"min_lr_rate": 0.1},
}
"""Options without which the schedule cannot be."""
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
    steps = {n: registry.load("axolotl.schedules", n).default_warmup(1000) for n in NAMES}
    none = {"constant", "log_sweep", *FOLLOWING}
    assert {n for n in NAMES if steps[n] == 0} == none
    assert {n for n in NAMES if steps[n] == 30} == {*NAMES} - none - {"one_cycle"}
    assert steps["one_cycle"] == 300


def test_every_schedule_of_the_library_is_there() -> None:
    assert {kind.value for kind in SchedulerType} == {*NAMES} - OWN


WAYS: list[tuple[str, dict[str, Any]]] = [
    *((n, NEEDED.get(n, {})) for n in NAMES if n not in OWN | FOLLOWING | {"constant"}),
    *(("cosine_with_restarts", {"num_cycles": n}) for n in (2, 3, 7)),
    *(("polynomial", {"power": power}) for power in (0.5, 2.0, 3)),
    *(("polynomial", {"lr_end": end}) for end in (0.0, 1e-5)),
    *(("inverse_sqrt", {"timescale": scale}) for scale in (1, 40, 10_000)),
    ("cosine_with_min_lr", {"min_lr": 1e-5}),
    ("cosine_with_min_lr", {"min_lr": 0}),
    ("cosine_with_min_lr", {"min_lr_rate": 0.25, "num_cycles": 1.5}),
    ("cosine_warmup_with_min_lr", {"min_lr": 1e-5}),
    ("cosine_warmup_with_min_lr", {"min_lr_rate": 0.0, "warmup_lr_rate": 0.2}),
    ("cosine_warmup_with_min_lr", {"min_lr_rate": 0.3, "warmup_lr_rate": 0.0, "num_cycles": 0.75}),
    *(
        ("warmup_stable_decay", {"warmup_type": up, "decay_type": down, "min_lr_ratio": 0.1})
        for up in ("linear", "cosine", "1-sqrt")
        for down in ("linear", "cosine", "1-sqrt")
    ),
    ("warmup_stable_decay", {"num_stable_steps": 0, "num_cycles": 1.5}),
]


@pytest.mark.parametrize(("total", "warmup"), [*STEPS, (2, 0), (64, 50), (97, 1), (1000, 300)])
@pytest.mark.parametrize(("name", "kwargs"), WAYS, ids=str)
def test_every_rate_is_that_of_the_library(
    name: str, kwargs: dict[str, Any], total: int, warmup: int
) -> None:
    peak = 2e-4
    if name == "warmup_stable_decay":
        stable = kwargs.get("num_stable_steps", 0)
        kwargs = {"num_decay_steps": (total - warmup - stable) // 2, **kwargs}
    parameter = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], lr=peak)
    length = None if "num_stable_steps" in kwargs else total
    theirs = get_scheduler(name, optimizer, warmup, length, kwargs)
    schedule = registry.load("axolotl.schedules", name)
    knows_rate = {"learning_rate": peak} if "learning_rate" in schedule.Options.model_fields else {}
    options = schedule.Options(**kwargs, **knows_rate)
    last = total - 1 if (name, warmup) == ("polynomial", total) else total  # they divide by zero
    for step in range(last + 1):
        ours = peak * schedule.factor(step, total, warmup, options)
        assert ours == pytest.approx(theirs.get_last_lr()[0], rel=1e-12, abs=1e-18), step
        if step < last:
            optimizer.step()
            theirs.step()


def test_the_last_part_of_a_level_schedule_is_a_tenth_by_default() -> None:
    rates = our_rates("warmup_stable_decay", 40, 4)
    assert [rate for rate in rates[4:37] if rate != 1.0] == []
    assert rates[37:] == pytest.approx([(1 + math.cos(math.pi * k / 4)) / 2 for k in (1, 2, 3, 4)])


LOSSES = [3.0, 2.5, 2.4, 2.4, 2.5, 2.6, 2.3, 2.2, 2.1, 2.0, 1.9, 1.8, *[1.8] * 30, 1.0, *[1.1] * 9]


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("reduce_lr_on_plateau", {}),
        ("reduce_lr_on_plateau", {"patience": 1, "factor": 0.5}),
        ("reduce_lr_on_plateau", {"patience": 0, "cooldown": 2, "min_lr": 1e-6}),
        ("reduce_lr_on_plateau", {"patience": 2, "threshold": 0.1, "threshold_mode": "abs"}),
        ("reduce_lr_on_plateau", {"patience": 0, "eps": 1e-5}),
        ("greedy", {}),
        ("greedy", {"patience": 1, "factor": 0.5}),
        ("greedy", {"patience": 1, "factor": 0.7, "cooldown": 2, "warmup": 1}),
        ("greedy", {"patience": 0, "factor": 0.5, "smooth": True, "window_size": 3}),
        ("greedy", {"patience": 0, "factor": 0.5, "reset_start": 2, "smooth": True}),
        ("greedy", {"patience": 1, "threshold": 0.05, "threshold_mode": "rel"}),
    ],
    ids=str,
)
def test_a_rate_that_follows_a_loss_is_that_of_the_library(
    name: str, kwargs: dict[str, Any]
) -> None:
    peak = 2e-4
    bounds = {"min_lr": peak / 10, "max_lr": peak * 10} if name == "greedy" else {}
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=peak)
    theirs: Any = get_scheduler(name, optimizer, scheduler_specific_kwargs={**bounds, **kwargs})
    schedule = registry.load("axolotl.schedules", name)
    options = schedule.Options(**kwargs, learning_rate=peak)
    ours, rates = schedule.Course(options), set[float]()
    for number, loss in enumerate(LOSSES):
        theirs.step(loss)
        ours.told(loss)
        assert ours.rate == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12), number
        rates.add(ours.rate)
        resumed = schedule.Course(options)  # what a checkpoint keeps is enough to go on
        resumed.take_up(json.loads(json.dumps(ours.state())))
        assert resumed.state() == ours.state()
        ours = resumed
    assert len(rates) > 1
    other = schedule.Course(schedule.Options(**kwargs, learning_rate=peak * 3))
    other.take_up(ours.state())
    assert other.rate == pytest.approx(3 * ours.rate)


@pytest.mark.parametrize(
    ("total", "warmup"), [(10, 0), (10, 3), (100, 99), (250, 7), (1, 0), (7, 7)]
)
@pytest.mark.parametrize("floor", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("share", [1.0, 0.8, 0.33])
def test_a_cosine_with_a_floor(total: int, warmup: int, floor: float, share: float) -> None:
    end = int(total * share)

    def expected(step: int) -> float:
        if step < warmup:
            return step / warmup
        if step >= end:
            return floor if end > warmup or share < 1 else 1.0
        wave = (1 + math.cos(math.pi * (step - warmup) / (end - warmup))) / 2
        return floor + (1 - floor) * wave

    ours = our_rates(
        "cosine", total, warmup, cosine_min_lr_ratio=floor, cosine_constant_lr_ratio=share
    )
    assert ours == pytest.approx([expected(step) for step in range(total + 1)], abs=1e-12)


@pytest.mark.parametrize(("total", "warmup"), [(10, 0), (10, 3), (100, 99), (250, 7), (1, 0)])
@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_rex(total: int, warmup: int, floor: float) -> None:
    for step, rate in enumerate(our_rates("rex", total, warmup, cosine_min_lr_ratio=floor)):
        if step < warmup:
            assert rate == step / warmup
            continue
        p = (step - warmup) / (total - warmup)
        assert rate == pytest.approx(floor + (1 - floor) * (1 - p) / (1 - p / 2), abs=1e-12)


def test_the_floor_is_given_once_and_is_below_the_peak() -> None:
    for options, text in [
        ({}, "one of min_lr and min_lr_rate"),
        ({"min_lr": 1e-5, "min_lr_rate": 0.1}, "one of min_lr and min_lr_rate"),
        ({"min_lr": 1e-3}, "above learning_rate"),
    ]:
        with pytest.raises(ConfigErrors, match=text):
            fill("cosine_with_min_lr", options, learning_rate=1e-4)
    with pytest.raises(ConfigErrors, match="above lr_end"):
        fill("polynomial", {"lr_end": 1e-3}, learning_rate=1e-4)


def test_what_a_schedule_follows() -> None:
    def follows(name: str, *, evaluates: bool) -> str | None:
        schedule: Any = registry.load("axolotl.schedules", name)
        return followed_loss(schedule, evaluates=evaluates)

    assert [follows(name, evaluates=True) for name in sorted(FOLLOWING)] == ["eval_loss"] * 2
    assert follows("greedy", evaluates=False) == "loss"
    assert follows("cosine", evaluates=False) is None
    with pytest.raises(ConfigError, match="nothing is evaluated"):
        follows("reduce_lr_on_plateau", evaluates=False)


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


@pytest.mark.parametrize("name", [name for name in NAMES if name != "constant_with_warmup"])
def test_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"axolotl.schedules.{name}"))
    assert result.attempted > 0
    assert result.failed == 0


def test_the_example_of_the_usual_warmup() -> None:
    result = doctest.testmod(importlib.import_module("axolotl.schedules"))
    assert result.attempted > 0
    assert result.failed == 0
