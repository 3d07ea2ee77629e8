import pytest

from axolotl.formats import bind
from tests.formats.test_worked_examples import notation, rows_of


@pytest.mark.parametrize(
    ("generation", "ends"),
    [("Hello.", 3), ("Hello.</s>", 3), ("Hello.</s></s></s></s>", 4)],
)
def test_there_are_three_end_tokens_unless_the_text_has_more(generation: str, ends: int) -> None:
    row = {"prompt": "<|user|>Hi.<|model|>", "generation": generation}
    made = notation(rows_of({"type": "metharme", "row": row}, "canonical"))
    assert made.count("EOS") == ends
    assert made.partition("⟦")[2].startswith("Hello.")


def test_an_empty_generation_has_nothing_to_train() -> None:
    row = {"prompt": "<|user|>Hi.<|model|>", "generation": ""}
    assert not len(rows_of({"type": "metharme", "row": row}, "canonical").input_ids)


def test_white_space_counts() -> None:
    row = {"prompt": "def f():\n", "generation": "    return 1\n"}
    assert [part.text for part in bind("metharme").segments(row)] == list(row.values())
