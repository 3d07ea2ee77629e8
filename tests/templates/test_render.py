"""Chat templates at work: the text is that of transformers, and each turn has its place in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axolotl.errors import ConfigError, DataError
from axolotl.templates.environment import MARK
from axolotl.templates.named import named_template, template_names
from axolotl.templates.render import compile_template

DATA = Path(__file__).parents[1] / "fixtures" / "data"
VARIABLES = {"bos_token": "<s>", "eos_token": "</s>"}
TALK = [
    {"role": "user", "content": "Hi."},
    {"role": "assistant", "content": "Yes?"},
    {"role": "user", "content": "Hi."},
    {"role": "assistant", "content": "Yes?"},
]
SYSTEM = {"role": "system", "content": "Be brief."}
LOOP = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>\n{% endfor %}"
LAST = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ '</s>' if loop.last else '|' }}"
    "{% endfor %}"
)
SLICED = (
    "{% if messages[0].role == 'system' %}{% set rest = messages[1:] %}{{ messages[0].content }}"
    "{% else %}{% set rest = messages %}{% endif %}"
    "{% for m in rest %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}"
)
SILENT_FIRST = (
    "{% set ns = namespace(last=0) %}{% for m in messages[::-1] %}{% set ns.last = loop.index %}"
    "{% endfor %}" + LOOP
)
NESTED = (
    "{% for m in messages %}<{{ m.role }}>{% for other in messages %}"
    "{% if other.role == 'user' and loop.index > 9 %}{% break %}{% endif %}{% endfor %}"
    "{{ m.content }}{% for c in m.content %}{% endfor %}</s>{% endfor %}"
)
MACRO = (
    "{% macro turn(m) %}<{{ m.role }}>{{ m.content }}</s>{% endmacro %}"
    "{% macro all(some) %}{% for m in some %}{{ turn(m) }}{% endfor %}{% endmacro %}"
    "{{ all(messages) }}"
)
SET_BLOCK = "{% set text %}" + LOOP + "{% endset %}{{ bos_token }}{{ text }}"
CHANGED = "{% set text %}" + LOOP + "{% endset %}{{ text | upper }}{{ text | length }}"
BY_INDEX = (
    "{% for i in range(messages | length) %}<{{ messages[i].role }}>{{ messages[i].content }}</s>"
    "{% endfor %}"
)
IN_PAIRS = (
    "{% for m in messages %}{% if m.role == 'user' %}<user>{{ m.content }}</s>"
    "{% if not loop.last %}<assistant>{{ loop.nextitem.content }}</s>{% endif %}{% endif %}"
    "{% endfor %}"
)
GENERATION = (
    "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' %}{% generation %}"
    "{{ m.content }}</s>{% endgeneration %}{% else %}{{ m.content }}</s>{% endif %}\n{% endfor %}"
)
BLANKS = """
{%- for m in messages %}
    {%- if m.role == 'user' %}
        {{- '<user>' }}
    {% elif m.role == 'assistant' %}
  <assistant>
    {%- endif %}
    {{- m.content }}
  {% if loop.last -%} end {%- endif %}
{% endfor %}
"""
TEMPLATES = {
    "loop": LOOP,
    "last": LAST,
    "sliced": SLICED,
    "silent first": SILENT_FIRST,
    "nested": NESTED,
    "macro": MACRO,
    "set block": SET_BLOCK,
    "by index": BY_INDEX,
    "in pairs": IN_PAIRS,
    "generation": GENERATION,
    "blanks": BLANKS,
    "twice": "{% for m in messages %}{{ m.role }}{% endfor %}" + LOOP,
    "changed": CHANGED,
    "tojson": "{% for m in messages %}{{ m | tojson(indent=2, sort_keys=true) }}</s>{% endfor %}",
    "names of a dict": (
        "{% for m in messages %}{{ m.keys is defined }}{{ m['keys'] is defined }}{{ m.no is defined }}"
        "{{ m['no'] is defined }}{{ m.no }}{{ m['no'] or m[0] or '-' }}"
        "{% for k, v in m.items() %}{{ k }}={{ v }}{% endfor %}</s>{% endfor %}"
    ),
    "dict": "{{ dict(a=1) | tojson }}{{ dict.fromkeys('ab') | tojson }}" + LOOP,
}


def transformers_text(template: str, messages: Any, **variables: Any) -> str:
    from transformers.utils.chat_template_utils import render_jinja_template

    given: dict[str, Any] = {**VARIABLES, "chat_template": template, **variables}
    texts, _ = render_jinja_template([messages], **given)
    return texts[0]


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("messages", [TALK, [SYSTEM, *TALK[:2]], TALK[:1]], ids=["4", "s", "1"])
@pytest.mark.parametrize("prompt", [False, True])
def test_the_text_is_that_of_transformers(name: str, messages: Any, prompt: bool) -> None:
    template = TEMPLATES[name] + "{% if add_generation_prompt %}<assistant>{% endif %}"
    wanted = transformers_text(template, messages, add_generation_prompt=prompt)
    compiled = compile_template(template)
    assert compiled.render(messages, VARIABLES, prompt=prompt) == wanted
    placed = compiled.place_by_marks(messages, VARIABLES, prompt=prompt)
    assert placed is None or placed.text == wanted


@pytest.mark.parametrize("name", template_names())
def test_real_conversations_come_out_as_transformers_writes_them(name: str) -> None:
    compiled = compile_template(named_template(name))
    written = 0
    for line in (DATA / "messages.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        try:
            placed = compiled.place(row["messages"], VARIABLES, tools=row.get("tools"))
        except DataError:  # no form for tools
            continue
        written += 1
        assert placed.text == transformers_text(
            named_template(name), row["messages"], tools=row.get("tools")
        )
    assert written >= 3


@pytest.mark.parametrize(
    "name",
    [
        "loop",
        "sliced",
        "silent first",
        "nested",
        "macro",
        "set block",
        "generation",
        "in pairs",
        "by index",
    ],
)
def test_each_turn_has_its_place_though_all_say_the_same(name: str) -> None:
    placed = compile_template(TEMPLATES[name]).place(TALK, VARIABLES)
    turns = [placed.text[slice(*span)].strip() for span in placed.spans if span]
    assert [turn.removeprefix("<s>") for turn in turns] == [
        "<user>Hi.</s>",
        "<assistant>Yes?</s>",
    ] * 2


@pytest.mark.parametrize(
    ("name", "once"),
    [
        *[(name, True) for name in ("loop", "macro", "set block", "nested", "silent first")],
        *[(name, False) for name in ("in pairs", "by index", "changed", "twice")],
    ],
)
def test_which_are_found_in_one_rendering(name: str, once: bool) -> None:
    placed = compile_template(TEMPLATES[name]).place_by_marks(TALK, VARIABLES)
    assert (placed is not None) is once


@pytest.mark.parametrize("name", template_names())
@settings(max_examples=10)
@given(said=st.lists(st.text(alphabet="a <|>/\n\u00e9{}%", max_size=12), min_size=1, max_size=5))
def test_marks_and_prefixes_find_the_same_places(name: str, said: list[str]) -> None:
    by_marks = compile_template(named_template(name))
    if by_marks.looks_ahead:
        return
    by_turns = compile_template.__wrapped__(named_template(name))
    by_turns.follow_turn_by_turn()
    roles = ("user", "assistant") * 3
    talk = [{"role": r, "content": f"x{text}x"} for r, text in zip(roles, said, strict=False)]
    placed = by_marks.place_by_marks(talk, VARIABLES)
    assert placed is not None
    assert placed.spans[1:] == by_turns.place(talk, VARIABLES).spans[1:]


def test_a_system_turn_in_the_first_question_has_no_place_of_its_own() -> None:
    text, spans = compile_template(named_template("llama2")).place([SYSTEM, *TALK[:2]], VARIABLES)
    assert spans[0] is None
    assert spans[1] is not None
    assert "Be brief." in text[slice(*spans[1])]


def test_text_with_the_sign_of_a_mark_is_text() -> None:
    talk = [{"role": "user", "content": f"a{MARK}0{MARK}b"}, TALK[1]]
    text, spans = compile_template(LOOP).place(talk, VARIABLES)
    assert text == f"<user>a{MARK}0{MARK}b</s>\n<assistant>Yes?</s>\n"
    assert [text[slice(*span)] for span in spans if span] == text.splitlines(keepends=True)


def test_rows_are_not_changed() -> None:
    talk = [dict(turn) for turn in TALK]
    compile_template(LOOP).place(talk, VARIABLES)
    assert talk == TALK


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ raise_exception('roles must alternate') }}", "refuses it: roles must alternate"),
        ("{{ messages[0].content.x.y }}", "fails on it: UndefinedError"),
        ("{{ 'a' + 1 }}", "fails on it: TypeError"),
        ("{{ 1 // 0 }}", "fails on it: ZeroDivisionError"),
        ("{{ messages.__class__.__mro__ }}", "does what no template may"),
        ("{{ ''.__class__.__base__.__subclasses__() }}", "does what no template may"),
        ("{{ messages.append(1) }}", "does what no template may"),
        ("{{ messages[0].update(role='x') }}", "does what no template may"),
        ("{{ namespace(__class__=1) }}", "does what no template may"),
        ("{{ range(999999999) | list }}", "fails on it: OverflowError"),
        ("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "goes in circles"),
    ],
)
def test_a_template_that_refuses_fails_or_breaks_out(template: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        compile_template(template).render(TALK, VARIABLES)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("a\n{% for m in messages %}", r"line 2 of the chat template: .*endfor"),
        ("a\n\n{{ messages | nothing }}", r"line 3 .*No filter named 'nothing'"),
        ("{% if %}{% endif %}", "line 1 of the chat template: Expected an expression"),
        ("{{ " + "(" * 4000 + ")" * 4000 + " }}", "the chat template cannot be compiled"),
    ],
)
def test_a_template_that_is_no_jinja(template: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        compile_template(template)
    assert caught.value.key == "chat_template_jinja"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% for m in messages[::-1] %}{{ m.content }}{% endfor %}", "cannot be followed"),
        ("{% for m in messages[::2] %}{{ m.content }}{% endfor %}", "writes nothing for turn 2"),
        (
            "{% for p in messages | batch(2) %}[{{ p[0].content }}]{{ p[1].content }}</s>{% endfor %}",
            "cannot be followed",
        ),
        (
            "{% for p in messages | batch(2) %}{% if p[1] %}[{{ p[0].content }}]{{ p[1].content }}</s>"
            "{% endif %}{% endfor %}",
            "cannot be followed",
        ),
        (
            "{% for i in range(0, messages | length, 2) %}[{{ messages[i].content }}]"
            "{{ messages[i + 1].content }}</s>{% endfor %}",
            "cannot be followed",
        ),
        ("{{ messages | length }}" + BY_INDEX, "cannot be followed"),
        ("{{ raise_exception('no') if messages | length == 3 }}" + BY_INDEX, "cannot be followed"),
    ],
)
def test_a_template_that_writes_no_turn_behind_the_other(template: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        compile_template(template).place(TALK, VARIABLES)
    assert caught.value.hint


@pytest.mark.parametrize("asked", ["<assistant>", "<assistant><think>"])
def test_what_refuses_to_end_with_a_question_is_followed_by_asking_for_answers(asked: str) -> None:
    template = (
        "{% if messages[-1].role != 'assistant' and not add_generation_prompt %}"
        "{{ raise_exception('no answer') }}{% endif %}"
        + BY_INDEX
        + "{% if add_generation_prompt %}"
        + asked
        + "{% endif %}"
    )
    placed = compile_template(template).place([SYSTEM, *TALK[:2]], VARIABLES)
    assert [placed.text[slice(*span)] for span in placed.spans if span] == [
        "<system>Be brief.</s><user>Hi.</s>",
        "<assistant>Yes?</s>",
    ]


def test_a_system_text_does_not_come_to_stand_in_an_answer() -> None:
    template = (
        "{% if messages[-1].role == 'system' %}{{ raise_exception('system alone') }}{% endif %}"
        + BY_INDEX
    )
    with pytest.raises(DataError, match="cannot be followed"):
        compile_template(template).place([SYSTEM, TALK[1]], VARIABLES)


def test_formatting_reaches_no_internals_either() -> None:
    template = compile_template("{{ '{0.__class__}'.format(messages) }}")
    assert template.render(TALK, VARIABLES) == ""


@pytest.mark.parametrize(
    ("messages", "tools", "hint"),
    [
        ([{"role": "user", "content": "a"}], None, "mend the row"),
        (
            [{"role": "user", "content": "a"}, {"role": "assistant", "content": None}],
            None,
            "turn 2 calls tools and says nothing; choose a chat_template that has a form for that",
        ),
        ([{"role": "user", "content": "a"}], [{"type": "function"}], "the row has tools; choose"),
    ],
)
def test_where_a_template_fails_the_way_out_fits_the_row(
    messages: list[Any], tools: list[Any] | None, hint: str
) -> None:
    template = compile_template("{% for m in messages %}{{ m.content + 1 }}{% endfor %}")
    with pytest.raises(DataError) as caught:
        template.render(messages, {}, tools=tools)
    assert (caught.value.hint or "").startswith(hint)
