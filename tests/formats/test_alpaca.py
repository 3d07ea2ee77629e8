import pytest

from axolotl.errors import DataError
from axolotl.formats import bind
from axolotl.records import Segment

WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further "
    "context. Write a response that appropriately completes the request."
)
BARE = "Below is an instruction that describes a task. Write a response that appropriately completes the request."
ROW = {"instruction": "Name a colour.", "input": "It must be warm.", "output": "Red."}


@pytest.mark.parametrize(
    ("style", "with_input", "bare"),
    [
        (
            "alpaca",
            f"{WITH_INPUT}\n\n### Instruction:\nName a colour.\n\n### Input:\nIt must be warm.\n\n### Response:\n",
            f"{BARE}\n\n### Instruction:\nName a colour.\n\n### Response:\n",
        ),
        (
            "alpaca:chat",
            f"SYSTEM: {WITH_INPUT}\nUSER: Name a colour.\nIt must be warm.\nASSISTANT:",
            f"SYSTEM: {BARE}\nUSER: Name a colour.\nASSISTANT:",
        ),
        (
            "alpaca:chatml",
            f"<|im_start|>system\n{WITH_INPUT}<|im_end|>\n<|im_start|>user\nName a colour.\nIt must be warm.<|im_end|>\n<|im_start|>assistant\n",
            f"<|im_start|>system\n{BARE}<|im_end|>\n<|im_start|>user\nName a colour.<|im_end|>\n<|im_start|>assistant\n",
        ),
    ],
)
def test_golden_text_and_mask(style: str, with_input: str, bare: str) -> None:
    bound = bind(style)
    answer = Segment("Red.", train=True, eos=True)
    assert bound.segments(ROW) == [Segment(with_input, train=False, bos=True), answer]
    for empty in ({"input": ""}, {"input": None}, {}):
        row = {"instruction": "Name a colour.", "output": "Red."} | empty
        assert bound.segments(row) == [Segment(bare, train=False, bos=True), answer]
    assert bound.prompt("Name a colour.") == [Segment(bare, train=False, bos=True)]


def test_train_on_inputs_trains_the_prompt_too() -> None:
    assert [
        part.train for part in bind("alpaca", shared={"train_on_inputs": True}).segments(ROW)
    ] == [True] * 2


def test_braces_in_the_data_are_text() -> None:
    row = {"instruction": "{{name}} {instruction}", "input": "{0}", "output": "{author}"}
    prompt, answer = bind("alpaca").segments(row)
    assert "### Instruction:\n{{name}} {instruction}\n\n### Input:\n{0}\n\n" in prompt.text
    assert answer.text == "{author}"


def test_a_misnamed_field_is_recognised() -> None:
    with pytest.raises(DataError, match="no field 'output'") as caught:
        bind("alpaca").segments({"instruction": "a", "outputs": "b"})
    assert caught.value.what == "no field 'output' (the row has: instruction, outputs)"
    assert caught.value.hint == "rename 'outputs' to 'output'"


def test_an_input_that_is_not_text() -> None:
    with pytest.raises(DataError, match="'input' is an object, not text"):
        bind("alpaca").segments(ROW | {"input": {"a": 1}})


def test_rows_under_a_key_are_pointed_at() -> None:
    with pytest.raises(DataError) as caught:
        bind("alpaca").segments({"data": [ROW]})
    assert (
        caught.value.hint
        == "the rows may stand under 'data': write them as one array, or one a line"
    )
