import pytest

from axolotl.errors import ConfigError, DataError
from axolotl.formats import bind

ROW = {"instruction": "Name a colour."}
VARIANTS = ["", ".load_concise", ".load_no_prompt"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_answer_is_output_or_else_response(variant: str) -> None:
    bound = bind(f"alpaca_chat{variant}")
    for answer in (
        {"output": "Red."},
        {"response": "Red."},
        {"output": "Red.", "response": "Blue."},
        {"output": None, "response": "Red."},
    ):
        assert bound.segments(ROW | answer)[1].text == "Red."
    with pytest.raises(DataError, match="no field 'output' and no 'response'"):
        bound.segments(ROW)


@pytest.mark.parametrize("variant", [*VARIANTS, ".load_qa", ".load_camel_ai"])
def test_conversation_puts_the_text_into_another_style(variant: str) -> None:
    kind = f"alpaca_chat{variant}"
    chat, chatml, instruct = (
        bind(kind, settings={"conversation": style}).prompt("Why?")[0].text
        for style in ("chat", "chatml", "instruct")
    )
    assert chat == bind(kind).prompt("Why?")[0].text
    assert chat.endswith("USER: Why?\nASSISTANT:")
    assert chatml.endswith("<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n")
    assert instruct.endswith("### Instruction:\nWhy?\n\n### Response:\n")


def test_a_conversation_that_is_no_style() -> None:
    message = "conversation: Input should be 'instruct', 'chat' or 'chatml'"
    with pytest.raises(ConfigError, match=message) as caught:
        bind("alpaca_chat", settings={"conversation": "vicuna_v1.1"}, key="datasets.0.type")
    assert caught.value.key == "datasets.0.conversation"
