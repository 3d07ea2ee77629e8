"""The named chat templates, each held against its family's format written out by hand."""

# ruff: noqa: RUF001  DeepSeek writes its tokens with a wide bar
from __future__ import annotations

from typing import Any

import pytest
from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from axolotl.errors import UnknownName
from axolotl.templates.named import NOT_BUILT_IN, named_template, template_names
from tests.conftest import build_tokenizer

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi?"},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Bye?"},
    {"role": "assistant", "content": "Bye."},
]
NO_SYSTEM = TALK[1:]
ALPACA = "### Instruction:\nHi?\n\n### Response:\nHello.</s>\n\n### Instruction:\nBye?\n\n### Response:\nBye.</s>"
GEMMA = (
    "Hi?<end_of_turn>\n<start_of_turn>model\nHello.<end_of_turn>\n<start_of_turn>user\nBye?"
    "<end_of_turn>\n<start_of_turn>model\nBye.<end_of_turn>\n"
)
CHATML = (
    "<|im_start|>user\nHi?<|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n"
    "<|im_start|>user\nBye?<|im_end|>\n<|im_start|>assistant\nBye.<|im_end|>\n"
)
CHATML_SYSTEM = "<|im_start|>system\nBe brief.<|im_end|>\n"
QWEN3 = CHATML.replace("Bye.", "<think>\n\n</think>\n\nBye.")
COHERE = (
    "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>Hi?<|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>Hello.<|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>Bye?<|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>Bye.<|END_OF_TURN_TOKEN|>"
)
COHERE_SYSTEM = "<s><|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>Be brief.<|END_OF_TURN_TOKEN|>"
DEEPSEEK = "<｜User｜>Hi?<｜Assistant｜>Hello.{end}<｜User｜>Bye?<｜Assistant｜>Bye.{end}"
PHI3 = (
    "<|user|>\nHi?<|end|>\n<|assistant|>\nHello.<|end|>\n"
    "<|user|>\nBye?<|end|>\n<|assistant|>\nBye.<|end|>\n"
)
VICUNA = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the user's questions."
)

# name: (with a system turn; None where the family has none, without one, what asks for an answer)
PLAIN: dict[str, tuple[str | None, str, str]] = {
    "alpaca": (
        "<s>Be brief.\n\n" + ALPACA,
        "<s>" + ALPACA,
        "\n\n### Response:\n",
    ),
    "aya": (COHERE_SYSTEM + COHERE, "<s>" + COHERE, "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>"),
    "chatml": (CHATML_SYSTEM + CHATML, CHATML, "<|im_start|>assistant\n"),
    "cohere": (COHERE_SYSTEM + COHERE, "<s>" + COHERE, "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>"),
    "deepseek_v2": (
        "<s>Be brief.\n\n" + DEEPSEEK.format(end="</s>"),
        "<s>" + DEEPSEEK.format(end="</s>"),
        "<｜Assistant｜>",
    ),
    "deepseek_v3": (
        "<s>Be brief." + DEEPSEEK.format(end="<｜end▁of▁sentence｜>"),
        "<s>" + DEEPSEEK.format(end="<｜end▁of▁sentence｜>"),
        "<｜Assistant｜>",
    ),
    "exaone": (
        "[|system|]Be brief.[|endofturn|]\n[|user|]Hi?\n[|assistant|]Hello.[|endofturn|]\n"
        "[|user|]Bye?\n[|assistant|]Bye.[|endofturn|]\n",
        "[|system|][|endofturn|]\n[|user|]Hi?\n[|assistant|]Hello.[|endofturn|]\n"
        "[|user|]Bye?\n[|assistant|]Bye.[|endofturn|]\n",
        "[|assistant|]",
    ),
    "falcon_h1": ("<s>" + CHATML_SYSTEM + CHATML, "<s>" + CHATML, "<|im_start|>assistant\n"),
    "gemma": (None, "<s><start_of_turn>user\n" + GEMMA, "<start_of_turn>model\n"),
    "gemma3": (
        "<s><start_of_turn>user\nBe brief.\n\n" + GEMMA,
        "<s><start_of_turn>user\n" + GEMMA,
        "<start_of_turn>model\n",
    ),
    "gemma3n": (
        "<s><start_of_turn>user\nBe brief.\n\n" + GEMMA,
        "<s><start_of_turn>user\n" + GEMMA,
        "<start_of_turn>model\n",
    ),
    "jamba": (
        "<|startoftext|><|bom|><|system|> Be brief.<|eom|><|bom|><|user|> Hi?<|eom|>"
        "<|bom|><|assistant|> Hello.<|eom|><|bom|><|user|> Bye?<|eom|><|bom|><|assistant|> Bye.<|eom|>",
        "<|startoftext|><|bom|><|user|> Hi?<|eom|><|bom|><|assistant|> Hello.<|eom|>"
        "<|bom|><|user|> Bye?<|eom|><|bom|><|assistant|> Bye.<|eom|>",
        "<|bom|><|assistant|>",
    ),
    "llama2": (
        "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi? [/INST] Hello. </s>"
        "<s>[INST] Bye? [/INST] Bye. </s>",
        "<s>[INST] Hi? [/INST] Hello. </s><s>[INST] Bye? [/INST] Bye. </s>",
        "",
    ),
    "llama3": (
        "<s><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHi?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nHello.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nBye?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nBye.<|eot_id|>",
        "<s><|start_header_id|>user<|end_header_id|>\n\nHi?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nHello.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nBye?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nBye.<|eot_id|>",
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    "llama4": (
        "<s><|header_start|>system<|header_end|>\n\nBe brief.<|eot|>"
        "<|header_start|>user<|header_end|>\n\nHi?<|eot|>"
        "<|header_start|>assistant<|header_end|>\n\nHello.<|eot|>"
        "<|header_start|>user<|header_end|>\n\nBye?<|eot|>"
        "<|header_start|>assistant<|header_end|>\n\nBye.<|eot|>",
        "<s><|header_start|>user<|header_end|>\n\nHi?<|eot|>"
        "<|header_start|>assistant<|header_end|>\n\nHello.<|eot|>"
        "<|header_start|>user<|header_end|>\n\nBye?<|eot|>"
        "<|header_start|>assistant<|header_end|>\n\nBye.<|eot|>",
        "<|header_start|>assistant<|header_end|>\n\n",
    ),
    "metharme": (
        "<s><|system|>Be brief.<|user|>Hi?<|model|>Hello.</s><|user|>Bye?<|model|>Bye.</s>",
        "<s><|user|>Hi?<|model|>Hello.</s><|user|>Bye?<|model|>Bye.</s>",
        "<|model|>",
    ),
    "mistral_v1": (
        "<s> [INST] Be brief.\n\nHi? [/INST] Hello.</s> [INST] Bye? [/INST] Bye.</s>",
        "<s> [INST] Hi? [/INST] Hello.</s> [INST] Bye? [/INST] Bye.</s>",
        "",
    ),
    "mistral_v2v3": (
        "<s>[INST] Be brief.\n\nHi?[/INST] Hello.</s>[INST] Bye?[/INST] Bye.</s>",
        "<s>[INST] Hi?[/INST] Hello.</s>[INST] Bye?[/INST] Bye.</s>",
        "",
    ),
    "mistral_v3_tekken": (
        "<s>[INST]Be brief.\n\nHi?[/INST]Hello.</s>[INST]Bye?[/INST]Bye.</s>",
        "<s>[INST]Hi?[/INST]Hello.</s>[INST]Bye?[/INST]Bye.</s>",
        "",
    ),
    "mistral_v7_tekken": (
        "<s>[SYSTEM_PROMPT]Be brief.[/SYSTEM_PROMPT][INST]Hi?[/INST]Hello.</s>[INST]Bye?[/INST]Bye.</s>",
        "<s>[INST]Hi?[/INST]Hello.</s>[INST]Bye?[/INST]Bye.</s>",
        "",
    ),
    "phi_3": ("<s><|system|>\nBe brief.<|end|>\n" + PHI3, "<s>" + PHI3, "<|assistant|>\n"),
    "phi_35": ("<|system|>\nBe brief.<|end|>\n" + PHI3, PHI3, "<|assistant|>\n"),
    "phi_4": (
        "<|im_start|>system<|im_sep|>Be brief.<|im_end|><|im_start|>user<|im_sep|>Hi?<|im_end|>"
        "<|im_start|>assistant<|im_sep|>Hello.<|im_end|><|im_start|>user<|im_sep|>Bye?<|im_end|>"
        "<|im_start|>assistant<|im_sep|>Bye.<|im_end|>",
        "<|im_start|>user<|im_sep|>Hi?<|im_end|><|im_start|>assistant<|im_sep|>Hello.<|im_end|>"
        "<|im_start|>user<|im_sep|>Bye?<|im_end|><|im_start|>assistant<|im_sep|>Bye.<|im_end|>",
        "<|im_start|>assistant<|im_sep|>",
    ),
    "qwen3": (CHATML_SYSTEM + QWEN3, QWEN3, "<|im_start|>assistant\n"),
    "qwen_25": (
        CHATML_SYSTEM + CHATML,
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant."
        "<|im_end|>\n" + CHATML,
        "<|im_start|>assistant\n",
    ),
    "vicuna": (
        "<s>Be brief. USER: Hi? ASSISTANT: Hello.</s>USER: Bye? ASSISTANT: Bye.</s>",
        f"<s>{VICUNA} USER: Hi? ASSISTANT: Hello.</s>USER: Bye? ASSISTANT: Bye.</s>",
        "ASSISTANT:",
    ),
    "zephyr": (
        "<|system|>\nBe brief.</s>\n<|user|>\nHi?</s>\n<|assistant|>\nHello.</s>\n"
        "<|user|>\nBye?</s>\n<|assistant|>\nBye.</s>\n",
        "<|user|>\nHi?</s>\n<|assistant|>\nHello.</s>\n"
        "<|user|>\nBye?</s>\n<|assistant|>\nBye.</s>\n",
        "<|assistant|>\n",
    ),
}

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
TOOL_TEXT = '{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}'
CALLS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "1+1, 2+2?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "abcdef123", "type": "function", "function": {"name": "add", "arguments": a}}
            for a in ({"a": 1}, '{"a": 2}')
        ],
    },
    {"role": "tool", "content": "2", "tool_call_id": "abcdef123"},
    {"role": "tool", "content": '{"sum": 4}'},
    {"role": "assistant", "content": "2 and 4."},
]
QWEN_TOOLS = (
    "<|im_start|>system\nBe brief.\n\n# Tools\n\n"
    "You may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
    + TOOL_TEXT
    + "\n</tools>\n\nFor each function call, return a json object with function name and arguments "
    "within <tool_call></tool_call> XML tags:\n<tool_call>\n"
    '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call><|im_end|>\n'
    "<|im_start|>user\n1+1, 2+2?<|im_end|>\n"
    "<|im_start|>assistant\n"
)
QWEN_CALLS = (
    '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>\n'
    '<tool_call>\n{"name": "add", "arguments": {"a": 2}}\n</tool_call><|im_end|>\n'
    "<|im_start|>user\n<tool_response>\n2\n</tool_response>\n"
    '<tool_response>\n{"sum": 4}\n</tool_response><|im_end|>\n'
)

WITH_TOOLS = {
    "qwen_25": QWEN_TOOLS + QWEN_CALLS + "<|im_start|>assistant\n2 and 4.<|im_end|>\n",
    "qwen3": QWEN_TOOLS
    + QWEN_CALLS
    + "<|im_start|>assistant\n<think>\n\n</think>\n\n2 and 4.<|im_end|>\n",
    "mistral_v2v3": f"<s>[AVAILABLE_TOOLS] [{TOOL_TEXT}][/AVAILABLE_TOOLS]"
    "[INST] Be brief.\n\n1+1, 2+2?[/INST]"
    '[TOOL_CALLS] [{"name": "add", "arguments": {"a": 1}, "id": "abcdef123"}, '
    '{"name": "add", "arguments": {"a": 2}, "id": "abcdef123"}]</s>'
    '[TOOL_RESULTS] {"content": "2", "call_id": "abcdef123"}[/TOOL_RESULTS]'
    '[TOOL_RESULTS] {"content": {"sum": 4}}[/TOOL_RESULTS] 2 and 4.</s>',
    "mistral_v3_tekken": f"<s>[AVAILABLE_TOOLS][{TOOL_TEXT}][/AVAILABLE_TOOLS]"
    "[INST]Be brief.\n\n1+1, 2+2?[/INST]"
    '[TOOL_CALLS][{"name": "add", "arguments": {"a": 1}, "id": "abcdef123"}, '
    '{"name": "add", "arguments": {"a": 2}, "id": "abcdef123"}]</s>'
    '[TOOL_RESULTS]{"content": "2", "call_id": "abcdef123"}[/TOOL_RESULTS]'
    '[TOOL_RESULTS]{"content": {"sum": 4}}[/TOOL_RESULTS]2 and 4.</s>',
    "llama4": "<s><|header_start|>system<|header_end|>\n\nEnvironment: ipython\nBe brief.<|eot|>"
    "<|header_start|>user<|header_end|>\n\n"
    "Given the following functions, please respond with a JSON for a function call with its proper "
    "arguments that best answers the given prompt.\n\n"
    'Respond in the format {"name": function name, "parameters": dictionary of argument name and its '
    "value}.Do not use variables.\n\n"
    '{\n    "type": "function",\n    "function": {\n        "name": "add",\n        "parameters": {\n'
    '            "type": "object"\n        }\n    }\n}\n\n1+1, 2+2?<|eot|>'
    "<|header_start|>assistant<|header_end|>\n\n<|python_start|><|python_end|>"
    '{"name": "add", "parameters": {"a": 1}}{"name": "add", "parameters": {"a": 2}}<|eot|>'
    '<|header_start|>ipython<|header_end|>\n\n"2"<|eot|>'
    '<|header_start|>ipython<|header_end|>\n\n"{\\"sum\\": 4}"<|eot|>'
    "<|header_start|>assistant<|header_end|>\n\n2 and 4.<|eot|>",
}
DEEPSEEK_CALLS = (
    "<s>Be brief.<｜User｜>1+1, 2+2?<｜Assistant｜><｜tool▁calls▁begin｜>"
    '<｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{"a": 1}\n```<｜tool▁call▁end｜>\n'
    '<｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{"a": 2}\n```<｜tool▁call▁end｜>'
    "<｜tool▁calls▁end｜><｜end▁of▁sentence｜><｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>2"
    '<｜tool▁output▁end｜><｜tool▁output▁begin｜>{"sum": 4}<｜tool▁output▁end｜><｜tool▁outputs▁end｜>'
    "2 and 4.<｜end▁of▁sentence｜>"
)
NOT_STABLE = {"qwen3"}
"""What is written of a turn depends on what comes behind it, as published."""


def render(tokenizer: Any, name: str, messages: Any, **variables: Any) -> str:
    """The text as transformers makes it."""
    return tokenizer.apply_chat_template(
        messages, chat_template=named_template(name), tokenize=False, **variables
    )


def talk(name: str) -> list[dict[str, Any]]:
    return NO_SYSTEM if PLAIN[name][0] is None else TALK


def test_every_template_is_in_the_table() -> None:
    assert list(template_names()) == sorted(PLAIN)


@pytest.mark.parametrize("name", PLAIN)
def test_a_conversation_is_written_in_the_format_of_the_family(name: str, tokenizer: Any) -> None:
    with_system, without, _ = PLAIN[name]
    assert render(tokenizer, name, NO_SYSTEM) == without
    if with_system is not None:
        assert render(tokenizer, name, TALK) == with_system


@pytest.mark.parametrize("name", PLAIN)
def test_the_text_does_not_depend_on_how_jinja_treats_line_ends(name: str) -> None:
    plain = ImmutableSandboxedEnvironment().from_string(named_template(name))
    text = plain.render(messages=NO_SYSTEM, bos_token="<s>", eos_token="</s>")
    assert text == PLAIN[name][1]


@pytest.mark.parametrize("name", PLAIN)
def test_a_tokenizer_without_a_begin_token_gets_none(name: str) -> None:
    plain = ImmutableSandboxedEnvironment().from_string(named_template(name))
    text = plain.render(messages=NO_SYSTEM, eos_token="</s>")
    assert text == PLAIN[name][1].replace("<s>", "")


ENDED_BY_EOS = sorted(name for name in PLAIN if "</s>" in PLAIN[name][1])


@pytest.mark.parametrize("name", ENDED_BY_EOS)
def test_an_end_token_that_there_is_not_is_asked_for(name: str) -> None:
    tokenizer = build_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(TemplateError, match=f"{name} ends answers.* set eos_token"):
        render(tokenizer, name, NO_SYSTEM)


@pytest.mark.parametrize("name", PLAIN)
def test_what_asks_for_an_answer_is_how_an_answer_begins(name: str, tokenizer: Any) -> None:
    question = render(tokenizer, name, talk(name)[:-1])
    asked = render(tokenizer, name, talk(name)[:-1], add_generation_prompt=True)
    assert asked == question + PLAIN[name][2]
    assert render(tokenizer, name, talk(name)).startswith(asked)


@pytest.mark.parametrize("name", PLAIN)
def test_no_text_changes_when_another_turn_follows(name: str, tokenizer: Any) -> None:
    kept = {"preserve_thinking": True} if name in NOT_STABLE else {}
    whole = render(tokenizer, name, talk(name), **kept)
    parts = [render(tokenizer, name, talk(name)[:n], **kept) for n in range(2, len(talk(name)))]
    assert all(whole.startswith(part) for part in parts)
    if name in NOT_STABLE:
        assert not render(tokenizer, name, TALK).startswith(render(tokenizer, name, TALK[:3]))


@pytest.mark.parametrize("name", WITH_TOOLS)
def test_tools_their_calls_and_results(name: str, tokenizer: Any) -> None:
    assert render(tokenizer, name, CALLS, tools=[TOOL]) == WITH_TOOLS[name]
    asked = render(tokenizer, name, CALLS[:-1], tools=[TOOL], add_generation_prompt=True)
    assert WITH_TOOLS[name].startswith(asked)


def test_deepseek_writes_calls_and_results(tokenizer: Any) -> None:
    assert render(tokenizer, "deepseek_v3", CALLS) == DEEPSEEK_CALLS
    asked = render(tokenizer, "deepseek_v3", CALLS[:-1], add_generation_prompt=True)
    assert DEEPSEEK_CALLS.startswith(asked)


def test_falcon_describes_tools(tokenizer: Any) -> None:
    assert render(tokenizer, "falcon_h1", TALK, tools=[TOOL]) == (
        "<s><|im_start|>system\nBe brief.\n\nYou are a function calling AI model. You are provided "
        "with function signature within <tools> </tools> XML tags. You may call one or more functions "
        "to assist with the user query. Don't make assumptions about what values to plug into "
        f"functions.\n<tools>\n[{TOOL_TEXT}]\n</tools>\n"
        "For each function call, return a json object with function name and arguments within "
        "<tool_call> </tool_call> tags with the following schema:\n<tool_call>\n"
        "{'arguments': <args-dict>, 'name': <function-name>}\n</tool_call>\n" + CHATML
    )


@pytest.mark.parametrize("name", sorted(set(PLAIN) - set(WITH_TOOLS)))
def test_what_the_format_has_no_form_for_is_refused(name: str, tokenizer: Any) -> None:
    told = f"the template {name} has"
    if name != "falcon_h1":
        with pytest.raises(TemplateError, match=told):
            render(tokenizer, name, NO_SYSTEM, tools=[TOOL])
    if name != "deepseek_v3":
        with pytest.raises(TemplateError, match=told):
            render(tokenizer, name, CALLS[1:3])


@pytest.mark.parametrize(
    "name",
    sorted(set(PLAIN) - {"chatml", "llama3", "llama4", "falcon_h1", "jamba", "qwen3", "qwen_25"}),
)
def test_a_role_without_a_form_is_refused(name: str, tokenizer: Any) -> None:
    with pytest.raises(TemplateError, match=f"{name} has no form for a turn of narrator"):
        render(tokenizer, name, [*NO_SYSTEM, {"role": "narrator", "content": "It rains."}])


THINKING = [
    {"role": "user", "content": "Hi?"},
    {"role": "assistant", "content": "Hello.", "reasoning_content": "A greeting."},
    {"role": "user", "content": "Bye?"},
    {"role": "assistant", "content": "<think>\nA farewell.\n</think>\n\nBye."},
]


def test_qwen3_keeps_the_reasoning_behind_the_last_question(tokenizer: Any) -> None:
    last = "<|im_start|>assistant\n<think>\nA farewell.\n</think>\n\nBye.<|im_end|>\n"
    user = "<|im_start|>user\nBye?<|im_end|>\n"
    text = render(tokenizer, "qwen3", THINKING)
    assert text == CHATML.partition(user)[0] + user + last
    kept = render(tokenizer, "qwen3", THINKING, preserve_thinking=True)
    assert kept == text.replace("Hello.", "<think>\nA greeting.\n</think>\n\nHello.")


def test_qwen3_keeps_reasoning_between_calls_of_tools(tokenizer: Any) -> None:
    called = {**CALLS[2], "reasoning_content": "Add."}
    text = render(tokenizer, "qwen3", [*CALLS[:2], called, *CALLS[3:]], tools=[TOOL])
    assert text == (
        WITH_TOOLS["qwen3"].replace(QWEN_CALLS, "<think>\nAdd.\n</think>\n\n" + QWEN_CALLS)
    )


def test_qwen3_asks_without_thinking(tokenizer: Any) -> None:
    asked = render(
        tokenizer, "qwen3", NO_SYSTEM[:1], add_generation_prompt=True, enable_thinking=False
    )
    assert asked.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")


@pytest.mark.parametrize(
    ("name", "answer"),
    [("gemma", "x<"), ("gemma3", "x<"), ("llama2", " x "), ("llama3", "x<"), ("cohere", "x<")],
)
def test_spaces_around_an_answer_go_where_the_format_has_none(
    name: str, answer: str, tokenizer: Any
) -> None:
    text = render(tokenizer, name, [NO_SYSTEM[0], {"role": "assistant", "content": " \nx \n"}])
    assert answer in text
    assert "x \n" not in text


def test_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"no chat template 'chat_ml'\n.*did you mean chatml\?"):
        named_template("chat_ml")


def test_a_name_that_is_known_and_not_built_in_says_what_to_write() -> None:
    with pytest.raises(UnknownName, match=r"'command_a' is known, but not built in\n") as caught:
        named_template("command_a")
    for way in ("chat_template_jinja", "`chat_template: tokenizer_default`"):
        assert way in str(caught.value)
    assert not NOT_BUILT_IN & set(template_names())
