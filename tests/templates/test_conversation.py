"""The styles of conversation templates; what each template makes of a row is in `test_sharegpt.py`."""

from __future__ import annotations

import pytest

from axolotl.templates.conversation import Conversation, Part, Turn, render
from axolotl.templates.conversations import TEMPLATES

HI, HELLO = Turn("user", "Hi."), Turn("model", "Hello.")


def text(name: str, *turns: Turn, system: str | None = "") -> str:
    return "".join(
        p.prefix + p.message + p.end for p in render(TEMPLATES[name], turns, system=system)
    )


NAMES_ALONE = [
    ("claude", "\n\nHuman:Assistant:"),
    ("vicuna_v1.1", " USER:ASSISTANT:"),
    ("billa", "\nHuman: Assistant: "),
    ("tulu", "<|user|>\n<|assistant|>\n"),
    ("oasst_llama", "<|prompter|><|assistant|>"),
    ("cutegpt", "问\uff1a答\uff1a\n"),
    ("rwkv", "Bob:Alice:"),
    ("llama-2", "[INST] [/INST]"),
    ("chatglm", "[Round 0]\n问\uff1a答\uff1a"),
    ("chatml", "<|im_start|>system\n<|im_end|>\n<|im_start|>user\n<|im_start|>assistant\n"),
    ("internlm-chat", "<|User|>:<|Bot|>:"),
    ("dolly_v2", "### Instruction:\n### Response:\n"),
    ("phoenix", "Human: Assistant: "),
    ("Robin", "\n###Human:\n###Assistant:\n"),
    ("falcon-chat", "User:Falcon:"),
]


@pytest.mark.parametrize(("name", "expected"), NAMES_ALONE)
def test_a_turn_without_text_is_the_name_alone(name: str, expected: str) -> None:
    assert text(name, Turn("user", ""), Turn("model", "")) == expected


def test_every_style_has_such_a_case() -> None:
    assert {TEMPLATES[name].style for name, _ in NAMES_ALONE} == {
        t.style for t in TEMPLATES.values()
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vicuna_v1.1", " ASSISTANT: Hello. USER: Hi.</s>"),
        ("dolly_v2", "### Response:\nHello.\n\n### Instruction:\nHi.### End\n\n"),
        ("internlm-chat", "<s><|Bot|>:Hello.<eoh>\n<|User|>:Hi.<eoa>\n"),
        ("chatglm2", "[Round 1]\n\n答\uff1aHello.\n\n问\uff1aHi.\n\n"),
        ("llama-2", "[INST] [/INST] Hello. [INST] Hi. </s><s>"),
    ],
)
def test_ends_go_by_the_place_and_names_by_the_speaker(name: str, expected: str) -> None:
    assert text(name, HELLO, HI) == expected


def test_the_style_of_rwkv_has_no_empty_lines_within_a_turn() -> None:
    assert text("rwkv", Turn("user", "a\r\nb\n\nc")) == "Bob: a\nb\nc\n\n"


def test_a_system_text_with_braces_is_taken_as_it_is() -> None:
    assert text("chatml", system="{system_message} {0}").startswith(
        "<|im_start|>system\n{system_message} {0}<|im_end|>\n"
    )


def test_other_names_stand_in_for_those_of_the_template() -> None:
    template = Conversation("ADD_COLON_SINGLE", ("USER", "ASSISTANT"), "\n")
    parts = render(template, [HI, HELLO], system="Go.", roles=("Bob", "Eve"))
    assert parts == [
        Part(None, "", "Go.\n"),
        Part("user", "Bob: ", "Hi.", "\n"),
        Part("model", "Eve: ", "Hello.", "\n"),
    ]


def test_nothing_is_said() -> None:
    assert render(TEMPLATES["oasst_llama"], []) == []
