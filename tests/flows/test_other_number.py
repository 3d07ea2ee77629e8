"""A run goes on with another number of processes where the states can be dealt out again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.flows.spread import LORA, Ran, Several, assert_same_run

pytestmark = pytest.mark.slow
SHIPPED = Path(__file__).parents[2] / "deepspeed"
ZERO: dict[str, dict[str, Any]] = {
    f"zero{stage}": {"deepspeed": str(SHIPPED / f"zero{stage}.json")} for stage in (1, 2, 3)
}
ONE, TWO = {"gradient_accumulation_steps": 4}, {"gradient_accumulation_steps": 2}
"""A step has the same rows."""


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Several:
    return Several(tmp_path_factory.mktemp("number"), tiny_model, weight_decay=0.1)


@pytest.fixture(scope="module")
def ran(several: Several) -> dict[str, Ran]:
    two: dict[str, dict[str, Any]] = {"two": TWO, "two-lora": TWO | LORA}
    one: dict[str, dict[str, Any]] = {
        "one": {**ONE, "resume": "two"},
        "one-lora": {**ONE, **LORA, "resume": "two-lora"},
        "from-one": ONE,
    }
    for name, options in ZERO.items():
        two |= {name: TWO | options, f"{name}-lora": TWO | options | LORA}
        one[f"{name}-alone"] = {**ONE, **options, "resume": name}
        one[f"{name}-lora-alone"] = {**ONE, **options, **LORA, "resume": f"{name}-lora"}
    sgd = {**ZERO["zero2"], "optimizer": "sgd"}
    two["sgd"], one["sgd-alone"] = TWO | sgd, {**ONE, **sgd, "resume": "sgd"}
    one["zero3-from-one"] = ONE | ZERO["zero3"]
    found = several.run(two) | several.run(one, processes=1)
    again = {"two-again": {**TWO, "resume": "from-one"}}
    again["zero3-again"] = {**TWO, **ZERO["zero3"], "resume": "zero3-from-one"}
    return found | several.run(again)


@pytest.mark.parametrize(
    ("got", "want"), [("one", "two"), ("one-lora", "two-lora"), ("two-again", "from-one")]
)
def test_whole_models_go_on_from_two_in_one_and_from_one_in_two(
    ran: dict[str, Ran], got: str, want: str
) -> None:
    assert ran[got].lines[0]["step"] == 3
    assert_same_run(ran[got], ran[want], since_step=2)


@pytest.mark.parametrize("name", [*ZERO, *(f"{name}-lora" for name in ZERO)])
def test_the_parts_of_deepspeed_are_dealt_out_anew(ran: dict[str, Ran], name: str) -> None:
    alone = ran[f"{name}-alone"]
    assert alone.seen[0]["wrapper"] == "DeepSpeedEngine"
    assert alone.lines[0]["step"] == 3
    assert_same_run(alone, ran[name], since_step=2)
    left = [path.name for path in (ran[name].folder / "checkpoint-2").glob("*universal*")]
    assert left == [], "the checkpoint is as it was"


def test_more_processes_than_then_take_their_parts(ran: dict[str, Ran]) -> None:
    assert_same_run(ran["zero3-again"], ran["zero3-from-one"], since_step=2)


def test_states_that_deepspeed_cannot_deal_out_are_refused(ran: dict[str, Ran]) -> None:
    assert "processes: then 2, now 1" in ran["sgd-alone"].seen[0]["error"]
