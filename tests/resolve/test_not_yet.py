"""A plug-in that this version does not have yet is said by `check`, and refused by whatever would run it."""

from __future__ import annotations

from typing import Any

import pytest

from axolotl.config import load_config
from axolotl.errors import ConfigErrors
from axolotl.resolve import examine, resolve
from axolotl.resolve.later import LATER_ATTENTION, LATER_TYPES
from axolotl.resolve.machine import Machine

GPU = Machine(gpu=True, bf16=True)
SMALL: dict[str, Any] = {"base_model": "m", "datasets": [{"path": "d.jsonl", "type": "alpaca"}]}
CASES = [
    *(
        ("datasets.0.type", {"datasets": [{"path": "d", "type": name}]})
        for name in sorted(LATER_TYPES)
    ),
    *(("attn_implementation", {"attn_implementation": name}) for name in sorted(LATER_ATTENTION)),
]


@pytest.mark.parametrize(("key", "given"), CASES)
def test_it_is_a_warning_of_check_and_an_error_of_what_would_run(
    key: str, given: dict[str, Any]
) -> None:
    config = load_config({**SMALL, **given})
    found = examine(config, machine=GPU).findings
    (finding,) = [f for f in found if f.rule == "not-yet" and f.key == key]
    assert finding.level == "warning"
    assert finding.message.endswith("is known, but this version does not support it yet")
    assert finding.hint.startswith("there are: ")
    for purpose in ("train", "prepare", "answer"):
        with pytest.raises(ConfigErrors) as caught:
            resolve(config, machine=GPU, purpose=purpose)
        assert key in {problem.key for problem in caught.value.problems}
