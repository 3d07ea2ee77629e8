"""Which templates can write a turn otherwise when others follow."""

from __future__ import annotations

import pytest

from axolotl.templates.named import named_template, template_names
from axolotl.templates.render import compile_template

TURN = "{{ m.role }}: {{ m.content }}"


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}" + TURN + "{% endfor %}",
        "{{ messages[0].content }}{% for m in messages[1:] %}" + TURN + "{% endfor %}",
        "{% set rest = messages[1:] if messages[0].role == 'system' else messages %}"
        "{% for m in rest %}{{ loop.index0 }}{{ loop.first }}{{ loop.previtem }}{% endfor %}",
        "{% for m in messages %}{% for c in m.tool_calls %}{{ loop.last }}{% endfor %}{% endfor %}",
        "{% if messages | selectattr('x') | list %}{{ raise_exception('no') }}{% endif %}"
        "{% for m in messages %}" + TURN + "{% endfor %}",
        "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('no') }}{% endif %}" + TURN + "{% endfor %}",
        "{% for m in messages %}" + TURN + "{% if loop.last and add_generation_prompt %}A:"
        "{% endif %}{% endfor %}",
        "{% if messages and messages[0].role == 'system' %}S{% endif %}"
        "{% for m in messages if m.role != 'system' %}" + TURN + "{% endfor %}",
    ],
)
def test_one_that_goes_through_once_cannot(template: str) -> None:
    assert not compile_template(template).looks_ahead


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{{ loop.last }}{% endfor %}",
        "{% for m in messages %}{{ loop['nextitem'] }}{% endfor %}",
        "{% for m in messages %}{{ loop.revindex }}{% endfor %}",
        "{{ messages | length }}",
        "{{ messages[-1].content }}",
        "{% for m in messages %}{{ messages[loop.index] }}{% endfor %}",
        "{% set all = messages %}{{ all[1:] | length }}",
        "{% for m in messages[::-1] %}" + TURN + "{% endfor %}",
        "{% for m in messages %}{% endfor %}{% for m in messages %}" + TURN + "{% endfor %}",
        "{% macro f(x) %}{{ x | length }}{% endmacro %}{{ f(messages) }}",
        "{% for m in messages if not loop.last %}" + TURN + "{% endfor %}",
        "{% if messages | length > 2 %}{{ raise_exception('no') }}{% else %}x{% endif %}",
        "{% set long = true if messages[3] else false %}",
    ],
)
def test_one_that_asks_what_is_to_come_may(template: str) -> None:
    assert compile_template(template).looks_ahead


def test_few_of_the_named_ones_do() -> None:
    ahead = {n for n in template_names() if compile_template(named_template(n)).looks_ahead}
    assert ahead == {"deepseek_v3", "qwen3", "qwen_25"}
