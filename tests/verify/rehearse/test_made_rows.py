"""Rows can be made up of every type, by what the format says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from axolotl.errors import DataError
from axolotl.formats import BoundFormat, Shared, bind
from axolotl.verify.rehearse.made_rows import made_up

FILE = Path(__file__).parents[2] / "fixtures" / "dataset_types.yaml"
SHARED = Shared(train_on_inputs=False, prompt_templates="canonical", chat_template="chatml")
TYPES = {str(case["type"]): case["type"] for case in yaml.safe_load(FILE.read_text("utf-8"))}


@pytest.mark.parametrize("name", sorted(name for name in TYPES if name != "None"))
def test_rows_of_every_type_can_be_made_up(name: str) -> None:
    bound = bind(TYPES[name], shared=SHARED)
    rows = made_up(bound, count=12)
    texts = ["".join(s.text for s in bound.segments(row)) for row in rows]
    assert len({len(text) for text in texts}) > 3, "rows of one length prove nothing of packing"
    assert all(any(s.train for s in bound.segments(row)) for row in rows)


def test_columns_and_turns_are_those_that_the_entry_names() -> None:
    own = {"field_instruction": "q", "field_output": "a", "format": "{instruction}"}
    (row,) = made_up(bind(own, shared=SHARED), count=1)
    assert {"q", "a"} <= row.keys()
    named = {
        "field_messages": "talk",
        "message_property_mappings": {"role": "who", "content": "said"},
        "roles": {"user": ["me"], "assistant": ["you"]},
    }
    (row,) = made_up(bind("chat_template", settings=named, shared=SHARED), count=1)
    assert [turn["who"] for turn in row["talk"]] == ["me", "you"]
    assert all(turn["said"] for turn in row["talk"])


def test_rows_that_are_tokens_already() -> None:
    rows = made_up(None, count=8)
    assert len({len(row["input_ids"]) for row in rows}) > 3
    assert all(len(r["input_ids"]) == len(r["labels"]) == len(r["attention_mask"]) for r in rows)


def test_a_format_that_takes_no_known_shape_is_an_error_with_a_way_out() -> None:
    class Odd:
        def fields(self, options: Any) -> tuple[str, ...]:
            return ("x",)

        def segments(self, row: Any, options: Any) -> list[Any]:
            raise DataError("no")

    odd: Any = Odd()
    bound = BoundFormat("odd", odd, bind("alpaca").options)
    with pytest.raises(DataError, match="rows of type 'odd' cannot be made up") as caught:
        made_up(bound, count=1, key="datasets.0")
    assert "local file" in str(caught.value.hint)
