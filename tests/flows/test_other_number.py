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
    return Several(tmp_path_factory.mktemp("number"), tiny_model)


@pytest.fixture(scope="module")
def ran(several: Several) -> dict[str, Ran]:
    two: dict[str, dict[str, Any]] = {"two": TWO, "two-lora": TWO | LORA}
    one: dict[str, dict[str, Any]] = {
        "one": {**ONE, "resume": "two"},
        "one-lora": {**ONE, **LORA, "resume": "two-lora"},
        "from-one": ONE,
    }
    for name, options in ZERO.items():
        two[name] = TWO | options
        one[f"{name}-alone"] = {**ONE, **options, "resume": name}
    found = several.run(two) | several.run(one, processes=1)
    return found | several.run({"two-again": {**TWO, "resume": "from-one"}})


@pytest.mark.parametrize(
    ("got", "want"), [("one", "two"), ("one-lora", "two-lora"), ("two-again", "from-one")]
)
def test_whole_models_go_on_from_two_in_one_and_from_one_in_two(
    ran: dict[str, Ran], got: str, want: str
) -> None:
    assert ran[got].lines[0]["step"] == 3
    assert_same_run(ran[got], ran[want], since_step=2)


@pytest.mark.parametrize("name", ZERO)
def test_the_parts_of_deepspeed_are_of_one_number_of_processes(
    ran: dict[str, Ran], name: str
) -> None:
    assert "processes: then 2, now 1" in ran[f"{name}-alone"].seen[0]["error"]
