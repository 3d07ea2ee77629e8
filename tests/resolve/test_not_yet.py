"""What this version does not carry out yet is said by `check`, and refused by whatever would run it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from axolotl.config import load_config, options
from axolotl.config.section import facts
from axolotl.config.sources import DatasetSource
from axolotl.errors import ConfigErrors
from axolotl.resolve import examine, resolve
from axolotl.resolve.later import LATER_ATTENTION, LATER_SCHEDULES, LATER_TYPES
from axolotl.resolve.machine import Machine

GPU = Machine(gpu=True, bf16=True)
ENTRY: dict[str, Any] = {"path": "d.jsonl", "type": "alpaca"}
SMALL: dict[str, Any] = {"base_model": "m", "datasets": [ENTRY]}
VALUES: dict[str, Any] = {
    "rope_scaling": {"type": "linear", "factor": 2},
    **dict.fromkeys(["adam_beta3", "cosine_constant_lr_ratio", "cosine_min_lr_ratio"], 0.5),
    "lr_groups": [{"name": "head", "modules": ["lm_head"], "lr": 1e-5}],
    "excess_length_strategy": "raise",
    **dict.fromkeys(["train_on_eos", "train_on_eot"], "all"),
    "eot_tokens": ["x"],
    "roles_to_train": ["x"],
    "chat_template_kwargs": {"x": "y"},
    "message_property_mappings": {"x": "y"},
    "roles": {"user": ["person"]},
    "test_datasets": [ENTRY],
}


def _value(key: str, info: Any) -> Any:
    """Some value of an option that asks for something."""
    kinds = str(info.annotation)
    return VALUES.get(
        key, True if "bool" in kinds else 3 if "int" in kinds or "float" in kinds else "x"
    )


def _pending() -> Iterator[tuple[str, dict[str, Any]]]:
    """Dotted path → a configuration that asks for it."""
    for key, info in options().items():
        pending = facts(info).get("pending", False)
        for value in [_value(key, info)] if pending is True else pending or []:
            yield key, {key: value}
    for key, info in DatasetSource.model_fields.items():
        if facts(info).get("pending"):
            yield f"datasets.0.{key}", {"datasets": [{**ENTRY, key: _value(key, info)}]}
    for name in LATER_TYPES:
        yield "datasets.0.type", {"datasets": [{"path": "d", "type": name}]}
    for name in LATER_SCHEDULES:
        yield "lr_scheduler", {"lr_scheduler": name}
    for name in LATER_ATTENTION:
        yield "attn_implementation", {"attn_implementation": name}


CASES = sorted(_pending(), key=str)


def test_there_is_something_to_test() -> None:
    assert {key for key, _ in CASES} >= {"datasets.0.type", "attn_implementation"}


@pytest.mark.parametrize(("key", "given"), CASES)
def test_it_is_a_warning_of_check_and_an_error_of_what_would_run(
    key: str, given: dict[str, Any]
) -> None:
    config = load_config({**SMALL, **given})
    found = examine(config, machine=GPU).findings
    (finding,) = [f for f in found if f.rule == "not-yet" and f.key == key]
    assert finding.level == "warning"
    assert finding.message.endswith("is known, but this version does not support it yet")
    assert finding.hint
    for purpose in ("train", "prepare", "answer"):
        with pytest.raises(ConfigErrors) as caught:
            resolve(config, machine=GPU, purpose=purpose)
        assert key in {problem.key for problem in caught.value.problems}


@pytest.mark.parametrize("value", [None, False, 0, ""])
def test_what_is_written_and_switched_off_asks_for_nothing(value: Any) -> None:
    switched = {
        key: value
        for key, info in options().items()
        if facts(info).get("pending") is True
        and (value is None or type(value).__name__ in str(info.annotation))
        and (value is None or not re.search(r"list|dict", str(info.annotation)))
        and not (value is False and info.default is None)
        and "ge=1" not in str(info.metadata)
        and "min_length" not in str(info.metadata)
    }
    found = examine(load_config({**SMALL, **switched}), machine=GPU).findings
    assert [f for f in found if f.rule == "not-yet"] == []
