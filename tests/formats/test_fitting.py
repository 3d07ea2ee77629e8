from __future__ import annotations

from typing import Any

import pytest

from axolotl.formats import fitting_types
from axolotl.registry import available


@pytest.mark.parametrize(
    ("row", "kinds"),
    [
        ({"instruction": "a", "output": "b"}, ["alpaca"]),
        ({"instruction": "a", "output": "b", "text": "c"}, ["alpaca", "completion"]),
        ({"conversations": [{"from": "human", "value": "a"}]}, ["sharegpt", "chat_template"]),
        ({"conversations": [{"role": "human", "value": "a"}]}, ["sharegpt.load_role", "pygmalion"]),
        ({"conversations": [{"role": "prompter", "text": "a"}]}, ["sharegpt.load_guanaco"]),
        ({"conversations": [{"role": "user", "content": "a"}]}, ["chat_template"]),
        ({"conversations": [{"text": "a", "explanation": "b"}]}, ["sharegpt_jokes"]),
        ({"text": "a", "explanation": "b"}, ["sharegpt_jokes", "completion"]),
        ({"messages": [{"role": "user", "content": "a"}], "text": "b"}, ["chat_template", "completion"]),
        ({"conversations": "a"}, ["sharegpt"]),
        ({"conversations": None, "text": "a"}, ["completion"]),
        ({"said": "a"}, []),
    ],
)  # fmt: skip
def test_the_types_that_read_such_a_row(row: dict[str, Any], kinds: list[str]) -> None:
    there = available("axolotl.formats")
    assert fitting_types(row) == [kind for kind in kinds if kind.partition(".")[0] in there]
