"""`type: chat_template`: what every setting trains, and what is said of rows that are odd or broken."""

from __future__ import annotations

import copy
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from axolotl.data.encoder import Encoder
from axolotl.data.tokenize import SegmentBatch, tokenize
from axolotl.errors import AxolotlError, ConfigError, DataError
from axolotl.formats import BoundFormat, Shared, bind
from axolotl.formats.chat_template import Options, template_of
from axolotl.records import IGNORE_INDEX, TokenizerFacts
from axolotl.templates.named import named_template
from tests.conftest import build_tokenizer

# A template of which everything is seen: reasoning, calls, tools, any role.
SEEN = (
    "{{ bos_token }}{% if tools %}<tools>{{ tools | tojson }}</tools>\n{% endif %}"
    "{% for m in messages %}<{{ m.role }}>"
    "{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}"
    "{{ m.content or '' }}"
    "{% for c in m.tool_calls or [] %}{{ (c.function or c) | tojson }}{% endfor %}"
    "{{ eos_token if m.role == 'assistant' else '<|eot|>' }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
LAST_THOUGHT = SEEN.replace("if m.reasoning_content", "if m.reasoning_content and loop.last")
FACTS = TokenizerFacts(
    SEEN,
    {"bos_token": "<s>", "eos_token": "</s>"},
    frozenset(["<s>", "</s>", "<|eot|>", "STOP"]),
    frozenset(["<s>", "</s>", "<|eot|>", "STOP"]),
)
TALK = [("user", "Hi."), ("assistant", "Yes?"), ("user", "Why?"), ("assistant", "So.")]
TALK_TURN = {"role": "user", "content": "Hi."}
ALL = ["Yes?</s>", "So.</s>"]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def turns(*said: tuple[str, str], keys: tuple[str, str] = ("role", "content")) -> list[Any]:
    return [dict(zip(keys, one, strict=True)) for one in said]


def talk(*said: tuple[str, str]) -> dict[str, Any]:
    return {"messages": turns(*(said or TALK))}


def bound(
    *, facts: TokenizerFacts | None = FACTS, shared: Any = None, **settings: Any
) -> BoundFormat:
    return bind(
        "chat_template",
        settings=settings,
        shared=Shared(tokenizer=facts, **(shared or {})),
        key="datasets.0.type",
    )


def trained(row: dict[str, Any], **settings: Any) -> list[str]:
    """The pieces that are trained; the row must stay as it is, and the pieces must be one text."""
    before = copy.deepcopy(row)
    segments = bound(**settings).segments(row)
    assert row == before
    assert [part.joined for part in segments] == [n > 0 for n in range(len(segments))]
    assert not any(part.bos or part.eos for part in segments)
    return [part.text for part in segments if part.train]


def with_key(number: int, **more: Any) -> dict[str, Any]:
    row = talk()
    row["messages"][number] |= more
    return row


DEEP: list[Any] = []
for _ in range(3000):
    DEEP = [DEEP]
CALL = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
TEXT_CALL = {"type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
CALLED = '{"name": "f", "arguments": {"x": 1}}</s>'
GPT = turns(*[({"user": "human"}.get(r, "gpt"), t) for r, t in TALK], keys=("from", "value"))
PEOPLE = turns(("person", "Hi."), ("machine", "Yes?"), keys=("who", "says"))
WITH_SYSTEM = {"messages": turns(("system", "Be brief."), *TALK[:2])}
DETAIL = [
    {"begin_offset": 0, "end_offset": 0, "train": False},
    {"begin_offset": 1, "end_offset": 2, "train": True},
]
PARTS = [
    {"type": "text", "text": "No. ", "train": False},
    {"type": "text", "value": "Yes?"},
]

CASES: list[tuple[str, dict[str, Any], dict[str, Any], list[str]]] = [
    ("as it is", talk(), {}, ALL),
    ("sharegpt", {"conversations": GPT}, {}, ALL),
    ("sharegpt as messages", {"messages": GPT}, {}, ALL),
    ("messages of the other kind", {"conversations": turns(*TALK)}, {}, ALL),
    ("messages go first", {**talk(), "conversations": [{"from": "x"}]}, {}, ALL),
    ("field_messages", {"talk": turns(*TALK), "messages": 5}, {"field_messages": "talk"}, ALL),
    (
        "message_property_mappings",
        {"messages": PEOPLE},
        {
            "message_property_mappings": {"role": "who", "content": "says"},
            "roles": {"user": ["person"], "assistant": ["machine"]},
        },
        ["Yes?</s>"],
    ),
    (
        "mapped property of the template",
        with_key(1, calls=[CALL]),
        {"message_property_mappings": {"tool_calls": "calls"}},
        ["Yes?" + CALLED, "So.</s>"],
    ),
    (
        "message_field_role",
        {"messages": PEOPLE},
        {
            "message_field_role": "who",
            "message_field_content": "says",
            "roles": {"user": ["person"], "assistant": ["machine"]},
        },
        ["Yes?</s>"],
    ),
    ("roles_to_train all", talk(), {"roles_to_train": ["user", "assistant"]}, ["Hi.<|eot|>", "Yes?</s>", "Why?<|eot|>", "So.</s>"]),
    ("roles_to_train by another name", {"messages": GPT}, {"roles_to_train": ["human"]}, ["Hi.<|eot|>", "Why?<|eot|>"]),
    ("roles_to_train and all ends", talk(), {"roles_to_train": ["user"], "train_on_eos": "all"}, ["Hi.<|eot|>", "</s>", "Why?<|eot|>", "</s>"]),
    ("an end that is seen from the tokenizer", talk(), {"chat_template_jinja": "{% for m in messages %}{{ m.role }}: {{ m.content }}STOP\n{% endfor %}", "train_on_eot": "none"}, [" Yes?", " So."]),
    ("roles_to_train none", talk(), {"roles_to_train": []}, []),
    ("train_on_eos none", talk(), {"train_on_eos": "none"}, ["Yes?", "So."]),
    ("train_on_eos last", talk(), {"train_on_eos": "last"}, ["Yes?", "So.</s>"]),
    ("train_on_eos all", with_key(1, train=False), {"train_on_eos": "all", "train_on_eot": "none", "message_field_training": "train"}, ["</s>", "So.</s>"]),
    ("train_on_eos turn", with_key(1, train=False), {"train_on_eos": "turn", "message_field_training": "train"}, ["So.</s>"]),
    ("train_on_eot all", talk(), {"train_on_eot": "all", "shared": {"eot_tokens": ["<|eot|>"]}}, ["<|eot|>", "Yes?</s>", "<|eot|>", "So.</s>"]),
    ("train_on_eot last", talk(), {"train_on_eot": "last", "shared": {"eot_tokens": ["<|eot|>"]}}, ["Yes?</s>", "<|eot|>", "So.</s>"]),
    ("train_on_eot as train_on_eos", talk(), {"train_on_eos": "all", "shared": {"eot_tokens": ["<|eot|>"]}}, ["<|eot|>", "Yes?</s>", "<|eot|>", "So.</s>"]),
    ("eot_tokens end a turn", talk(), {"roles_to_train": ["user"], "train_on_eot": "none", "shared": {"eot_tokens": ["<|eot|>"]}}, ["Hi.", "Why?"]),
    ("message_field_training", with_key(1, train=False), {"message_field_training": "train"}, ["So.</s>"]),
    ("message_field_training wins", with_key(0, train=True), {"message_field_training": "train", "roles_to_train": []}, ["Hi.<|eot|>"]),
    ("message_field_training as a number", with_key(1, weight=0), {"message_field_training": "weight"}, ["So.</s>"]),
    ("message_field_training null", with_key(1, train=None), {"message_field_training": "train"}, ALL),
    ("message_field_training_detail", with_key(1, detail=DETAIL), {"message_field_training_detail": "detail"}, ["es?</s>", "So.</s>"]),
    ("detail in a masked turn", with_key(0, detail=DETAIL[1:]), {"message_field_training_detail": "detail", "roles_to_train": []}, ["i.<|eot|>"]),
    ("detail to the end of a turn", with_key(1, detail=[{"begin_offset": 3, "end_offset": 3, "train": True}]), {"message_field_training_detail": "detail", "roles_to_train": []}, ["?</s>"]),
    ("detail does not mask the end", with_key(1, detail=[{"begin_offset": 3, "end_offset": 3, "train": False}]), {"message_field_training_detail": "detail"}, ["Yes", "</s>", "So.</s>"]),
    ("detail masks a whole turn", with_key(1, detail=[{"begin_offset": 0, "end_offset": 3, "train": False}]), {"message_field_training_detail": "detail"}, ["</s>", "So.</s>"]),
    ("detail at the begin of a masked turn", with_key(0, detail=[{"begin_offset": 0, "end_offset": 0, "train": True}]), {"message_field_training_detail": "detail", "roles_to_train": []}, ["H", "<|eot|>"]),
    ("detail that trains nothing", with_key(0, detail=[{"begin_offset": 0, "end_offset": 0, "train": False}]), {"message_field_training_detail": "detail", "roles_to_train": []}, []),
    ("detail in a text with the sign of a border", with_key(1, content="\U0010fffcYes?", detail=DETAIL[:1]), {"message_field_training_detail": "detail"}, ["Yes?</s>", "So.</s>"]),
    ("parts of which the last is masked", with_key(1, content=[PARTS[1], PARTS[0]]), {}, ["Yes?", "</s>", "So.</s>"]),
    ("a further role", talk(TALK[0], ("critic", "No.")), {"roles": {"critic": ["critic"]}, "roles_to_train": ["critic"]}, ["No.<|eot|>"]),
    ("a further role that says nothing", talk(TALK[0], ("critic", "")), {"roles": {"critic": ["critic"]}, "roles_to_train": ["critic"]}, ["<|eot|>"]),
    ("answer that begins as the system text does", {"messages": turns(("system", "Yes"), ("assistant", "Yes? No."))}, {"chat_template": "qwen_25"}, ["Yes? No.<|im_end|>"]),
    ("function is tool", {"messages": [TALK_TURN, {"role": "assistant", "tool_calls": [CALL]}, {"role": "function", "content": "5"}]}, {"roles_to_train": ["tool"]}, ["5<|eot|>"]),
    ("a further role in ChatML", talk(TALK[0], ("critic", "No.")), {"roles": {"critic": ["judge"]}, "roles_to_train": ["critic"], "chat_template": "chatml"}, ["No.<|im_end|>"]),
    ("user behind a system text", WITH_SYSTEM, {"roles_to_train": ["user"], "chat_template": "gemma3"}, ["Hi.<end_of_turn>"]),
    ("user who says a part of the system text", {"messages": turns(("system", "Hi. Be brief."), *TALK[:2])}, {"roles_to_train": ["user"], "chat_template": "mistral_v1"}, ["Hi. [/INST]"]),
    ("user behind tools", {**talk(), "tools": [TOOL]}, {"roles_to_train": ["user"], "chat_template": "llama4"}, ["Hi.<|eot|>", "Why?<|eot|>"]),
    ("answer behind a system text", {"messages": turns(("system", "Be brief."), TALK[1])}, {"chat_template": "gemma3"}, ["Yes?<end_of_turn>"]),
    ("answer with the words of the system text", {"messages": turns(("system", "Yes"), *TALK[:2])}, {"chat_template": "gemma3"}, ["Yes?<end_of_turn>"]),
    ("two results in one turn", {"messages": [TALK_TURN, {"role": "assistant", "tool_calls": [CALL]}, *turns(("tool", "1"), ("tool", "2"))]}, {"chat_template": "qwen3", "roles_to_train": ["tool"]}, ["1\n</tool_response>", "2\n</tool_response><|im_end|>"]),
    ("older call", {"messages": [TALK_TURN, {"role": "assistant", "content": "", "function_call": {"name": "f", "arguments": '{"x": 1}'}}]}, {}, [CALLED]),
    ("older call without content", {"messages": [TALK_TURN, {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": {"x": 1}}}]}, {}, [CALLED]),
    ("older call by another name", with_key(1, content=None, call={"name": "f", "arguments": {"x": 1}}), {"message_property_mappings": {"function_call": "call"}}, [CALLED, "So.</s>"]),
    ("no older call", with_key(1, function_call=None), {}, ALL),
    ("parts", with_key(1, content=PARTS), {}, ["Yes?</s>", "So.</s>"]),
    ("parts of text", with_key(1, content=["Ye", {"text": "s?"}]), {}, ALL),
    ("part that is trained", with_key(0, content=[PARTS[1] | {"train": True}]), {"roles_to_train": []}, ["Yes?<|eot|>"]),
    ("reasoning and calls as parts", with_key(1, content=[{"type": "reasoning", "value": "Hm."}, {"type": "tool_call", "value": '{"name": "f", "arguments": {"x": 1}}'}]), {}, ["<think>Hm.</think>" + CALLED, "So.</s>"]),
    ("tool calls", with_key(1, content=None, tool_calls=[CALL]), {}, [CALLED, "So.</s>"]),
    ("tool calls without content", {"messages": [TALK_TURN, {"role": "assistant", "tool_calls": [CALL]}]}, {}, [CALLED]),
    ("reasoning without content", {"messages": [TALK_TURN, {"role": "assistant", "reasoning_content": "Hm."}]}, {}, ["<think>Hm.</think></s>"]),
    ("arguments as JSON text", with_key(1, content=None, tool_calls=[TEXT_CALL]), {}, [CALLED, "So.</s>"]),
    ("calls as JSON text", with_key(1, content=None, tool_calls='[{"name": "f", "arguments": {"x": 1}}]'), {}, [CALLED, "So.</s>"]),
    ("no calls", with_key(1, tool_calls=[]), {}, ALL),
    ("reasoning", with_key(1, reasoning_content="Hm."), {}, ["<think>Hm.</think>Yes?</s>", "So.</s>"]),
    ("reasoning by an older name", with_key(1, thinking="Hm."), {}, ["<think>Hm.</think>Yes?</s>", "So.</s>"]),
    ("field_thinking", with_key(1, thought="Hm."), {"field_thinking": "thought"}, ["<think>Hm.</think>Yes?</s>", "So.</s>"]),
    ("split_thinking", with_key(1, content="<think>\nHm.\n</think>\n\nYes?"), {"split_thinking": True}, ["<think>Hm.</think>Yes?</s>", "So.</s>"]),
    ("not split", with_key(1, content="<think>\nHm.\n</think>\n\nYes?"), {}, ["<think>\nHm.\n</think>\n\nYes?</s>", "So.</s>"]),
    ("answer in two turns", talk(*TALK[:2], TALK[3]), {}, ALL),
    ("empty answer", talk(TALK[0], ("assistant", "")), {}, ["</s>"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "settings", "wanted"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_what_is_trained(row: dict[str, Any], settings: dict[str, Any], wanted: list[str]) -> None:
    assert trained(row, **settings) == wanted


def text(row: dict[str, Any], **settings: Any) -> str:
    return "".join(part.text for part in bound(**settings).segments(row))


PLAIN = "<s><user>Hi.<|eot|>\n<assistant>Yes?</s>\n"
SYSTEM = "<s><system>Be brief.<|eot|>\n<user>Hi.<|eot|>\n<assistant>Yes?</s>\n"


@pytest.mark.parametrize(
    ("row", "settings", "wanted"),
    [
        (WITH_SYSTEM, {}, SYSTEM),
        (WITH_SYSTEM, {"drop_system_message": True}, PLAIN),
        ({**talk(*TALK[:2]), "rule": "Be brief."}, {"field_system": "rule"}, SYSTEM),
        ({**talk(*TALK[:2]), "rule": None}, {"field_system": "rule"}, PLAIN),
        ({**WITH_SYSTEM, "rule": "Be loud."}, {"field_system": "rule", "drop_system_message": True},
         SYSTEM.replace("brief", "loud")),
        (talk(*TALK[:2]), {"chat_template": "chatml"},
         "<|im_start|>user\nHi.<|im_end|>\n<|im_start|>assistant\nYes?<|im_end|>\n"),
        (talk(*TALK[:2]), {"chat_template": "chatml", "shared": {"chat_template": "gemma"}},
         "<|im_start|>user\nHi.<|im_end|>\n<|im_start|>assistant\nYes?<|im_end|>\n"),
        (talk(*TALK[:2]), {"chat_template_jinja": "{% for m in messages %}{{ m.content }}!{% endfor %}"}, "Hi.!Yes?!"),
        (talk(*TALK[:2]), {"shared": {"chat_template_jinja": "{% for m in messages %}{{ m.content }}!{% endfor %}"}},
         "Hi.!Yes?!"),
        (talk(*TALK[:2]),
         {"shared": {"chat_template_jinja": "{% for m in messages %}{{ m.content }}{{ sign }}{% endfor %}",
                     "chat_template_kwargs": {"sign": "#"}}}, "Hi.#Yes?#"),
        (with_key(1, thought="Hm."),
         {"field_thinking": "thought", "template_thinking_key": "why",
          "chat_template_jinja": "{% for m in messages %}{{ m.why }}{{ m.content }} {% endfor %}"},
         "Hi. Hm.Yes? Why? So. "),
        (with_key(1, mood="glad"), {"chat_template_jinja": "{% for m in messages %}{{ m.mood }}{{ m.content }} {% endfor %}"},
         "Hi. gladYes? Why? So. "),
    ],
)  # fmt: skip
def test_the_text(row: dict[str, Any], settings: dict[str, Any], wanted: str) -> None:
    assert text(row, **settings) == wanted


@pytest.mark.parametrize(
    ("tools", "settings"),
    [
        ([TOOL], {}),
        ('[{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]', {}),
        ([{"type": "function", "function": {"name": "f", "parameters": '{"type": "object"}'}}], {}),
        ([TOOL], {"field_tools": "functions"}),
    ],
)
def test_tools_are_told_to_the_template(tools: Any, settings: dict[str, Any]) -> None:
    row = {**talk(), settings.get("field_tools", "tools"): tools}
    wanted = (
        '<s><tools>[{"type": "function", "function": {"name": "f", '
        '"parameters": {"type": "object"}}}]</tools>\n<user>'
    )
    assert text(row, **settings).startswith(wanted)


def test_null_is_kept_as_the_row_has_it() -> None:
    tools = [TOOL | {"strict": None}]
    call = {"function": {"name": "f", "arguments": '{"x": null}'}}
    row = {"messages": [TALK_TURN, {"role": "assistant", "tool_calls": [call]}], "tools": tools}
    assert '"strict": null' in text(row)
    assert trained(row) == ['{"name": "f", "arguments": {"x": null}}</s>']


@pytest.mark.parametrize("none", [None, "", [], "[]"])
def test_no_tools_are_no_tools(none: Any) -> None:
    template = SEEN + "{{ tools is none }}"
    assert text({**talk(), "tools": none}, chat_template_jinja=template).endswith("True")


BROKEN: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    ({"text": "a"}, {}, r"no field 'messages' \(the row has: text\)", "`type: completion`"),
    ({"talk": turns(*TALK)}, {}, "no field 'messages'", "`field_messages: talk`"),
    ({"messages": None}, {}, "'messages' is null", "give it a list of turns"),
    ({"messages": []}, {}, "'messages' has no turns", "take the row out"),
    ({"messages": "Hi."}, {}, "'messages' is text .* not a list of turns", '"role": "user"'),
    ({"messages": ["Hi."]}, {}, "turn 1 of 'messages' is text", "as an object"),
    (talk(("narrator", "Once.")), {}, "turn 1 is from 'narrator'.*known: human, user, gpt", r"roles: \{user: \[narrator\]\}"),
    (talk(("User", "Once.")), {}, "turn 1 is from 'User'", r"roles: \{user: \[User\]\}"),
    (talk(TALK[0], ("function_call", "f")), {}, "turn 2 is from 'function_call'", r"roles: \{assistant: \[function_call\]\}"),
    (talk(TALK[0], ("function_call", "f"), ("observation", "f"), ("function_call", "f")), {}, "turn 2 is from 'function_call'", r"roles: \{assistant: \[function_call\], tool: \[observation\]\}"),
    ({"conversations": [{"from": "human"}]}, {}, "turn 1 has no 'value'", "add 'value'"),
    (talk(TALK[0], ("observation", "f")), {}, "turn 2 is from 'observation'", r"roles: \{tool: \[observation\]\}"),
    ({"messages": [{"role": "user"}]}, {}, "turn 1 has no 'content'", "add 'content'"),
    ({"messages": [{"content": "a"}]}, {}, "turn 1 has no 'role'", "add 'role'"),
    ({"messages": [{"role": "user", "content": None}]}, {}, "'content' of turn 1 is null", "give the turn a text"),
    ({"messages": [{"role": "user", "content": 5}]}, {}, r"'content' of turn 1 is a number \(5\)", "in quotes"),
    (with_key(1, train="yes"), {"message_field_training": "train"}, "'train' of turn 2 is text .* not true or false", "true or false"),
    (with_key(1, detail=5), {"message_field_training_detail": "detail"}, "'detail' of turn 2 is a number", "begin_offset"),
    (with_key(1, detail=[{"begin_offset": 0}]), {"message_field_training_detail": "detail"}, "without two offsets", "begin_offset"),
    (with_key(1, detail=[{"begin_offset": 2, "end_offset": 4, "train": True}]), {"message_field_training_detail": "detail"}, "characters 2 to 4 are not all there, the text has 4", "from 0"),
    (with_key(1, detail=[*DETAIL, DETAIL[0] | {"end_offset": 1}]), {"message_field_training_detail": "detail"}, "in two parts", "end a part before"),
    (with_key(1, detail=DETAIL, content=PARTS), {"message_field_training_detail": "detail"}, "parts that say what is trained, and 'detail'", "keep one"),
    (with_key(1, detail=DETAIL, content="<think>a</think>b"), {"message_field_training_detail": "detail", "split_thinking": True}, "reaches into its reasoning", "split_thinking"),
    (with_key(1, content=[{"type": "image"}]), {}, r"part of type text \(\"image\"\)", "take the row out"),
    (with_key(1, content=[{"type": "text"}]), {}, "type 'text' without text", '"type": "text"'),
    (with_key(1, content=[5]), {}, "a number .* no part", '"type": "text"'),
    (with_key(1, content=[{"text": "a", "train": "no"}]), {}, "'train' of a part of turn 2", "true or false"),
    (with_key(1, content=[{"type": "tool_call", "value": "{f"}]), {}, "tool call of turn 2 is text and no JSON", "arguments"),
    (with_key(1, tool_calls=[{"function": {"name": "f", "arguments": "{x"}}]), {}, "'arguments' of a tool call of turn 2 is text and no JSON: {x", "JSON text"),
    (with_key(1, tool_calls=["f"]), {}, "'f' is text|a tool call of turn 2 is text", "function"),
    (with_key(1, tool_calls={"name": "f"}), {}, "'tool_calls' of turn 2 is an object, not a list", "function"),
    (with_key(1, reasoning_content=5), {}, "'reasoning_content' of turn 2 is a number", "in quotes"),
    ({**talk(), "tools": "{x"}, {}, "'tools' is text and no JSON: {x", "JSON text"),
    ({**talk(), "tools": {"a": 1}}, {}, "'tools' is an object, not a list of tools", "list"),
    (with_key(1, mood=DEEP), {}, "nested too deeply", "take the row out"),
    (with_key(1, tool_calls=[{"function": {"name": "f", "arguments": "[" * 5000}}]), {}, "text and no JSON", "JSON text"),
    (with_key(1, function_call=5), {}, r"'function_call' of turn 2 is a number \(5\), not a call with a name", "tool_calls"),
    (with_key(1, function_call={"arguments": {}}), {}, "'function_call' of turn 2 is an object, not a call with a name", "tool_calls"),
    (with_key(1, function_call="{x"), {}, "'function_call' of turn 2 is text and no JSON", "JSON text"),
    (with_key(1, function_call={"name": "f"}, tool_calls=[CALL]), {}, "turn 2 has calls of tools, and 'function_call' as well", "one of the two"),
    ({"messages": GPT}, {"message_property_mappings": {"role": "frm"}}, "turn 1 has no 'frm'", r"`message_property_mappings: \{role: from\}`, or take `role` out of it"),
    ({"messages": GPT}, {"message_property_mappings": {"content": "text"}}, "turn 1 has no 'text'", r"`message_property_mappings: \{content: value\}`"),
    ({**talk(), "tools": [5]}, {}, "'tools' has a number .* no tool", "function"),
    ({**talk(), "rule": 5}, {"field_system": "rule"}, "'rule' is a number", "in quotes"),
    ({"messages": turns(("system", "a"))}, {"drop_system_message": True}, "no turns but a system text", ""),
    (with_key(1, content=None, tool_calls=[CALL]), {"chat_template_jinja": "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}"}, "writes None for turn 2", "qwen3"),
    (with_key(1, detail=DETAIL), {"message_field_training_detail": "detail", "chat_template_jinja": "{% for m in messages %}{{ m.content }}{{ m.content | length }}</s>{% endfor %}"}, "changes what turn 2 says", "whole turns"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "settings", "message", "hint"), BROKEN)
def test_a_row_that_cannot_be_used(
    row: dict[str, Any], settings: dict[str, Any], message: str, hint: str
) -> None:
    import re

    with pytest.raises(DataError, match=message) as caught:
        bound(**settings).segments(row)
    assert re.search(hint, caught.value.hint or "")


@pytest.mark.parametrize(
    ("settings", "facts", "key", "message"),
    [
        ({}, FACTS.__class__(None, {}, frozenset()), "datasets.0.type|chat_template", "tokenizer has no chat template"),
        ({"shared": {"eot_tokens": ["<|no|>"]}}, FACTS, "eot_tokens", r"'<\|no\|>' is no token"),
        ({"shared": {"chat_template_kwargs": {"tools": []}}}, FACTS, "chat_template_kwargs", r"chat_template_kwargs.tools: each row"),
        ({"chat_template_jinja": "{{ messages | length }}"}, FACTS, "datasets.0.chat_template_jinja", "takes no plain conversation"),
        ({"roles_to_train": ["asistant"]}, FACTS, "datasets.0.roles_to_train", "no role is called 'asistant'"),
        ({"message_field_role": "a", "message_property_mappings": {"role": "b"}}, FACTS, "datasets.0.message_field_role", "disagree"),
        ({"chat_template_jinja": "{% for"}, FACTS, "datasets.0.chat_template_jinja", "line 1"),
        ({"chat_template": "chatmll"}, None, "datasets.0.chat_template", "no chat template 'chatmll'"),
        ({"train_on_eos": "some"}, FACTS, "datasets.0.train_on_eos", "'turn', 'all', 'last' or 'none'"),
    ],
)  # fmt: skip
def test_a_setting_that_makes_no_sense(
    settings: dict[str, Any], facts: TokenizerFacts | None, key: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        bound(facts=facts, **settings)
    assert caught.value.key in key.split("|")


def test_without_a_tokenizer_the_settings_can_be_checked_and_rows_cannot_be_read() -> None:
    known = bound(facts=None)
    with pytest.raises(ConfigError, match="that of the tokenizer, and none is loaded"):
        known.segments(talk())
    with pytest.raises(ConfigError, match="none is loaded"):
        template_of(Options.model_validate({}))


def test_a_question_is_asked_as_in_training() -> None:
    (asked,) = bound().prompt("Hi.")
    assert text(talk()).startswith(asked.text)
    assert asked.text.endswith("<assistant>")
    assert not asked.train


def loop(turn: str) -> dict[str, Any]:
    """A template that writes each turn so."""
    return {"chat_template_jinja": "{% for m in messages %}" + turn + "</s>\n{% endfor %}"}


NO_SYSTEM = "the template adds a system text of its own to rows without one: You are Qwen, created by Alibaba Cloud. You are a helpful as…"  # fmt: skip
UNSTABLE = "the template writes an earlier turn otherwise once others follow"
CHANGES = "the template leaves out or changes the text of {} turns"
WITH_CALL = {"messages": [TALK_TURN, {"role": "assistant", "content": "I look.", "tool_calls": [CALL]}, {"role": "tool", "content": "Cold."}, {"role": "assistant", "content": "So."}]}  # fmt: skip
TOLD_TOOL = {"function": {"name": "f", "description": 'Looks "up".\nSlowly.'}}
THOUGHT = with_key(3, content="<think>Hm.</think>So.")
REMARKS: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    (talk(), {}, []),
    (talk(*TALK[:2], TALK[1]), {}, ["two turns of one side in a row"]),
    (talk(TALK[0], ("assistant", " ")), {}, ["a turn without text"]),
    (talk(*TALK[1:]), {}, ["the model speaks first"]),
    (talk(*TALK[:2], ("system", "a")), {}, ["a system turn behind others"]),
    (talk(TALK[0], ("tool", "5"), TALK[1]), {}, ["a tool turn that answers no call"]),
    (talk(), {"chat_template": "chatml"}, ["<|im_end|> of the template is no token of this tokenizer, its letters are trained"]),
    (talk(), {"chat_template_jinja": "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"}, ["an answer ends without a token that ends it: the model may not learn to stop"]),
    (with_key(1, reasoning_content="Hm."), {"chat_template_jinja": LAST_THOUGHT}, ["the template leaves out reasoning", "the template writes an earlier turn otherwise once others follow"]),
    (with_key(3, reasoning_content="Hm."), {"chat_template_jinja": LAST_THOUGHT}, []),
    (talk(), {"chat_template_jinja": "{% for m in messages %}{{ m.content }}{{ eos_token if loop.last else '</s>\n' }}{% endfor %}"}, ["the template writes an earlier turn otherwise once others follow"]),
    (talk(), {"chat_template_jinja": "{% for m in messages %}{{ m.content }}</s>{% endfor %}{{ eos_token if messages[-1] }}"}, []),
    (with_key(1, tool_calls=[CALL]), {"chat_template_jinja": SEEN.replace("eos_token if m.role == 'assistant'", "'' if m.tool_calls else eos_token if m.role == 'assistant'")}, ["an answer ends without a token that ends it: the model may not learn to stop"]),
    (with_key(1, tool_calls=[CALL]), {"chat_template_jinja": "{% for m in messages %}{{ m.content }}</s>{% endfor %}"}, ["the template leaves out tool calls"]),
    ({**talk(), "tools": [TOOL]}, {"chat_template_jinja": "{% for m in messages %}{{ m.content }}</s>{% endfor %}"}, ["the template leaves out the tools"]),
    (WITH_SYSTEM, loop("{% if m.role == 'system' %}{% continue %}{% endif %}{{ m.content }}"), [CHANGES.format("system")]),
    (WITH_SYSTEM, {"chat_template_jinja": loop("{{ m.content if m.role != 'system' }}")["chat_template_jinja"] + "{% if messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}"}, []),
    (talk(*TALK[:2], *TALK[:2]), loop("{{ m.content if loop.index < 3 or m.role == 'assistant' or m.content == 'Numbat' }}"), [CHANGES.format("user")]),
    (talk(), {"chat_template_jinja": "{% for m in messages %}{{ m.content }}{{ preserve_thinking }}{{ eos_token if loop.last else '</s>\n' }}{% endfor %}", "shared": {"chat_template_kwargs": {"preserve_thinking": True}}}, [UNSTABLE]),
    (talk(*TALK[:2]), {"chat_template_jinja": "{% for m in messages %}{{ m.role }}:{{ m.content }}{{ '</s>' if not loop.last or loop.index == 4 }}\n{% endfor %}"}, ["an answer ends without a token that ends it: the model may not learn to stop"]),
    (WITH_CALL, loop("{{ m.tool_calls | tojson if m.tool_calls else m.content }}"), [CHANGES.format("assistant")]),
    (WITH_CALL, loop("{{ '' if m.role == 'tool' else m.content }}{{ m.tool_calls | tojson if m.tool_calls }}"), [CHANGES.format("tool")]),
    (WITH_CALL, {"chat_template": "qwen_25", "facts": None}, [NO_SYSTEM]),
    (talk(("user", "Good day."), ("assistant", "Good evening.")), loop("{{ m.content[:6] }}"), [CHANGES.format("user"), CHANGES.format("assistant")]),
    (talk(), loop("{{ m.content | replace('So', 'No') }}"), [CHANGES.format("assistant")]),
    (talk(("user", ' "a"\n'), ("assistant", '\u00e9 "b"\n')), loop("{{ m | tojson }}"), []),
    (talk(("user", " a "), ("assistant", "\nb\n")), loop("{{ m.content | trim }}"), []),
    (THOUGHT, loop("{{ m.content }}"), []),
    (THOUGHT, loop("{{ m.content.split('</think>')[-1] }}"), ["the template leaves out reasoning"]),
    (THOUGHT, loop("{{ m.content | replace('So.', '') }}"), [CHANGES.format("assistant")]),
    (with_key(3, reasoning_content="Hm."), {"template_thinking_key": "why"}, ["the template leaves out reasoning"]),
    ({**WITH_CALL, "tools": [TOOL]}, loop("{{ m.content }}{{ m.tool_calls | tojson if m.tool_calls }}"), ["the template leaves out the tools"]),
    ({**talk(), "tools": [TOLD_TOOL]}, {}, []),
    ({**talk(), "tools": [TOLD_TOOL]}, {"chat_template_jinja": "{{ tools[0].function.name if tools }}" + loop("{{ m.content }}")["chat_template_jinja"]}, ["the template leaves out the tools"]),
    (talk(), {"chat_template": "vicuna"}, ["the template adds a system text of its own to rows without one: A chat between a curious user and an artificial intelligence…"]),
    (WITH_SYSTEM, {"chat_template": "vicuna"}, []),
    (talk(), loop("{{ 'system: Be kind.</s>user:' if loop.first else m.role + ':' }}{{ m.content }}"), ["the template adds a system text of its own to rows without one: Be kind."]),
    (with_key(1, reasoning_content="Hm."), {"chat_template": "qwen3", "facts": None}, ["the template leaves out reasoning", UNSTABLE + "; `chat_template_kwargs: {preserve_thinking: true}` keeps it as it is"]),
    ({"messages": turns(("system", "a"), *TALK[:2])}, {"chat_template": "llama2", "roles_to_train": ["system", "assistant"]}, ["a system turn that is to be trained has no place of its own in the template"]),
]  # fmt: skip


@pytest.mark.parametrize(("row", "settings", "wanted"), REMARKS)
def test_what_is_odd_is_said(
    row: dict[str, Any], settings: dict[str, Any], wanted: list[str]
) -> None:
    assert bound(**settings).remarks(row) == wanted


def test_spans_are_found_where_a_text_stands_twice_and_loses_its_spaces() -> None:
    detail = [{"begin_offset": 1, "end_offset": 3, "train": True}]
    row = talk(("user", "a"), ("assistant", " aba "))
    row["messages"][1]["detail"] = detail
    settings: dict[str, Any] = {"message_field_training_detail": "detail", "roles_to_train": []}
    assert trained(row, chat_template="llama3", **settings) == ["aba<|eot_id|>"]
    row["messages"][1]["detail"] = [{"begin_offset": 0, "end_offset": 4, "train": True}]
    assert trained(row, chat_template="llama3", **settings) == ["aba<|eot_id|>"]
    row["messages"][1]["detail"] = [{"begin_offset": 3, "end_offset": 3, "train": True}]
    segments = bound(chat_template="llama3", **settings).segments(row)
    assert [(s.text[-3:], s.train) for s in segments] == [
        ("\nab", False),
        ("a<|eot_id|>"[-3:], True),
    ]


def test_the_store_knows_the_text_of_a_template_and_not_its_path(tmp_path: Path) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text(SEEN)
    before = bound(chat_template_jinja=str(file)).identity()
    assert before["options"]["template_text"] == SEEN
    file.write_text(SEEN + "!")
    assert bound(chat_template_jinja=str(file)).identity() != before
    own = [bound(facts=FACTS.__class__(t, {}, frozenset())).identity() for t in (SEEN, SEEN + "!")]
    assert own[0] != own[1]


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, SEEN),
        ({"chat_template": "chatml"}, named_template("chatml")),
        ({"chat_template": "tokenizer_default_fallback_chatml"}, SEEN),
        ({"chat_template_jinja": "{% for m in messages %}{{ m.content }}{% endfor %}"},
         "{% for m in messages %}{{ m.content }}{% endfor %}"),
    ],
)  # fmt: skip
def test_the_template_in_use(settings: dict[str, Any], wanted: str) -> None:
    options = bound(**settings).options
    assert isinstance(options, Options)
    assert template_of(options) == wanted


def test_the_day_is_the_same_on_every_day() -> None:
    today = "{{ strftime_now('%d %b %Y') }}{% for m in messages %}{{ m.content }}</s>{% endfor %}"
    settings = {"shared": {"chat_template_kwargs": {"strftime_now": date(2025, 1, 31)}}}
    assert text(talk(), chat_template_jinja=today).startswith("26 Jul 2024Hi.")
    assert text(talk(), chat_template_jinja=today, **settings).startswith("31 Jan 2025Hi.")


def test_the_end_behind_the_loop_ends_the_last_turn() -> None:
    phi = "{% for m in messages %}<{{ m.role }}>{{ m.content }}<|eot|>\n{% endfor %}{{ eos_token }}"
    assert trained(talk(), chat_template_jinja=phi) == ["Yes?<|eot|>", "So.<|eot|>", "</s>"]
    assert trained(talk(), chat_template_jinja=phi, train_on_eos="none", train_on_eot="turn") == [
        "Yes?<|eot|>",
        "So.<|eot|>",
    ]


def test_tokens_are_those_of_the_whole_text() -> None:
    tokenizer = build_tokenizer(bos=True)
    tokenizer.add_tokens(["<|eot|>"], special_tokens=True)
    tokenizer.chat_template = SEEN
    encoder = Encoder(tokenizer)
    batch = SegmentBatch()
    batch.add(bound(facts=encoder.facts()).segments(talk()))
    rows, _ = tokenize(batch, encoder)
    ids = rows.input_ids.tolist()
    assert ids == tokenizer(text(talk()), add_special_tokens=False)["input_ids"]
    assert ids.count(tokenizer.bos_token_id) == 1
    kept = [i for i, label in zip(ids, rows.labels.tolist(), strict=True) if label != IGNORE_INDEX]
    assert tokenizer.decode(kept) == "".join(ALL)


def test_errors_of_the_template_are_errors_of_the_row() -> None:
    with pytest.raises(AxolotlError, match=r"refuses it: .*no form for a turn of system"):
        bound(chat_template="gemma").segments(WITH_SYSTEM)
