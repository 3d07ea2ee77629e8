"""What cannot be read does not hide what the rules have to say of the rest."""

from __future__ import annotations

from typing import Any

import pytest

from axolotl.config import load_config
from axolotl.errors import ConfigErrors
from axolotl.resolve import all_told
from axolotl.resolve.machine import Machine

CPU = Machine(gpu=False, bf16=False)
SMALL: dict[str, Any] = {"base_model": "m", "datasets": [{"path": "d.jsonl", "type": "alpaca"}]}


def keys(given: dict[str, Any]) -> list[str]:
    """What the errors are about."""
    with pytest.raises(ConfigErrors) as caught, all_told(machine=CPU):
        load_config(given)
    return [problem.key for problem in caught.value.problems]


def test_errors_of_both_kinds_come_together() -> None:
    given = {**SMALL, "lora_rr": 1, "warmup_steps": 1, "warmup_ratio": 0.5, "fp16": True}
    assert sorted(keys(given)) == ["fp16", "lora_rr", "warmup_ratio"]


def test_remarks_come_along() -> None:
    with pytest.raises(ConfigErrors) as caught, all_told(machine=CPU):
        load_config({**SMALL, "lora_rr": 1, "lora_r": 4, "warmup_steps": 1, "warmup_ratio": 0.5})
    assert [problem.rule for problem in caught.value.problems] == ["options", "one-warmup"]
    assert [(f.level, f.key) for f in caught.value.remarks] == [("warning", "lora_r")]


def test_a_missing_model_does_not_hide_the_rest() -> None:
    assert sorted(keys({"fp16": True})) == ["base_model", "datasets", "fp16"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # the rule would judge a value that nobody wrote
        ({"save_strategy": "steps", "save_steps": "x"}, ["save_steps"]),
        ({"fp16": True, "bf16": "x"}, ["bf16"]),
        ({"datasets": [{"path": "d", "typ": "alpca"}]}, ["datasets.0.typ"]),
    ],
)
def test_a_rule_about_what_could_not_be_read_is_silent(
    given: dict[str, Any], expected: list[str]
) -> None:
    assert keys({**SMALL, **given}) == expected


def test_what_is_right_passes_through() -> None:
    with all_told(machine=CPU):
        assert load_config(SMALL).model.base_model == "m"
