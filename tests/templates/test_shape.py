"""What a template puts around the text of a turn."""

# ruff: noqa: RUF001  DeepSeek writes its tokens with a wide bar
from __future__ import annotations

import re
from typing import Any

import pytest

from axolotl.errors import ConfigError
from axolotl.templates.named import named_template
from axolotl.templates.render import compile_template
from axolotl.templates.shape import Shape, shape_of

VARIABLES = {"bos_token": "<s>", "eos_token": "</s>"}
ASKED = "{% if add_generation_prompt %}<assistant>{% endif %}"
PLAIN = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}"


def shape(template: str, **given: Any) -> Shape:
    return shape_of(compile_template(template), VARIABLES, ends=["</s>"], **given)


@pytest.mark.parametrize(
    ("template", "heads", "ends"),
    [
        (named_template("chatml"), ("<|im_start|>assistant\n",), ("<|im_end|>",)),
        (named_template("phi_4"), ("<|im_start|>assistant<|im_sep|>",), ("<|im_end|>",)),
        (named_template("exaone"), ("[|assistant|]",), ("[|endofturn|]",)),
        (named_template("llama2"), (" ",), ("</s>",)),
        (named_template("mistral_v3_tekken"), ("",), ("</s>",)),
        (named_template("deepseek_v3"), ("<｜Assistant｜>", ""), ("<｜end▁of▁sentence｜>",)),
        (PLAIN + ASKED, ("<assistant>",), ("</s>",)),
        (PLAIN, ("<assistant>",), ("</s>",)),
        (PLAIN + "{% if add_generation_prompt %}<other>{% endif %}", ("<assistant>",), ("</s>",)),
        (PLAIN + "{% if add_generation_prompt %}<assistant>{% else %}</s>{% endif %}", ("<assistant>",), ("</s>",)),
        (PLAIN.replace("{% endfor %}", "{% if loop.last and add_generation_prompt %}<assistant>{% endif %}{% endfor %}"), ("<assistant>",), ("</s>",)),
        (PLAIN.replace("</s>", "\n<|end|>\n"), ("<assistant>",), ("<|end|>",)),
    ],
)  # fmt: skip
def test_what_stands_around_an_answer(
    template: str, heads: tuple[str, ...], ends: tuple[str, ...]
) -> None:
    found = shape(template)
    assert set(found.heads["assistant"]) == set(heads)
    assert found.ends == ends
    assert not found.unended


def test_further_roles_have_heads_too() -> None:
    assert shape(PLAIN, roles=["critic"]).heads["critic"] == ("<critic>",)


@pytest.mark.parametrize(
    ("first", "added"),
    [
        ("{{ bos_token }}<system>Be kind.</s>", "Be kind."),
        ("<system>" + "Be kind. " * 9 + "</s>", "Be kind. " * 6 + "Be kin…"),
        ("{{ bos_token }}<system></s>", ""),
        ("{{ bos_token }}[INST] ", ""),
    ],
)
def test_a_system_text_of_its_own(first: str, added: str) -> None:
    assert shape(first + PLAIN).added == added
    in_the_loop = PLAIN.replace("<{{", "{% if loop.first %}" + first + "{% endif %}<{{")
    assert shape(in_the_loop).added == added


def test_answers_that_call_tools_may_end_with_a_token_of_their_own() -> None:
    template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content or '' }}"
        "{% for call in m.tool_calls or [] %}{{ call.function | tojson }}{% endfor %}"
        "{{ '<|eom|>' if m.tool_calls else '</s>' }}{% endfor %}"
    )
    assert shape(template, tokens=["<|eom|>"]).ends == ("</s>", "<|eom|>")


@pytest.mark.parametrize(
    ("template", "unended"),
    [
        (PLAIN.replace("</s>", "\n"), True),
        (PLAIN.replace("</s>", "{{ eos_token if loop.last }}"), True),
        (PLAIN.replace("</s>", "\n") + "</s>", True),
        ("{% for m in messages %}{{ '</s>' if m.role == 'user' and not loop.first }}<{{ m.role }}>"
         "{{ m.content }}{% endfor %}</s>", False),
    ],
)  # fmt: skip
def test_answers_without_an_end(template: str, unended: bool) -> None:
    assert shape(template).unended is unended


@pytest.mark.parametrize(
    ("turn", "length"),
    [
        ("<|Assistant|><think>\nWhy?", 21),
        ("<|Assistant|><tool>x", 13),  # not in the middle of the next token
        ("<|Assistant|>Yes.", 13),
        ("<|Assist", 0),
        ("Yes.", 0),
    ],
)
def test_a_head_is_left_at_the_border_of_a_word(turn: str, length: int) -> None:
    shape = Shape({"assistant": ("<|Assistant|><think>\n", "")}, ())
    assert shape.head("assistant", f"ab{turn}", (2, 2 + len(turn))) == 2 + length


def test_a_space_goes_with_the_word_behind_it() -> None:
    shape = Shape({"assistant": ("A: ",)}, ())
    assert shape.head("assistant", "A: Yes.", (0, 7)) == 2


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ raise_exception('never') }}", "takes no plain conversation: .*never"),
        ("{{ messages | length }}", "cannot be followed"),
        ("{% for m in messages %}{% for c in m.content %}{{ c.text }}{% endfor %}!{% endfor %}", "leaves out what is said"),
        ("{% for m in messages[::-1] %}{{ m.content }}{% endfor %}", "takes no plain conversation"),
    ],
)  # fmt: skip
def test_a_template_that_is_of_no_use(template: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        shape(template)
    assert caught.value.key == "chat_template"
    assert re.search("choose another chat_template", caught.value.hint or "")


def test_a_template_that_wants_a_system_turn_gets_one() -> None:
    needs = "{% if messages[0].role != 'system' %}{{ raise_exception('no') }}{% endif %}" + PLAIN
    assert shape(needs).heads["assistant"] == ("<assistant>",)
