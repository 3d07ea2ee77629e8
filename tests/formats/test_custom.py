import re
from typing import Any

import pytest
import yaml

from axolotl.config import load_config
from axolotl.errors import ConfigError, DataError
from axolotl.formats import bind, shared_settings
from axolotl.resolve import examine
from axolotl.resolve.machine import Machine

ROW = {
    "instruction": "Name a colour.",
    "input": "It must be warm.",
    "system": "Be brief.",
    "output": "Red.",
    "q": "Which one?",
    "more": "Not green.",
    "sys": "Be polite.",
    "a": "Blue.",
}
BARE = {k: v for k, v in ROW.items() if k not in ("input", "system")}
PLAIN = "Be brief.Name a colour. It must be warm. |Red."
EFFECTS = [
    ("field_instruction", "q", ROW, "Be brief.Which one? It must be warm. |Red."),
    ("field_input", "more", ROW, "Be brief.Name a colour. Not green. |Red."),
    ("field_system", "sys", ROW, "Be polite.Name a colour. It must be warm. |Red."),
    ("field_output", "a", ROW, "Be brief.Name a colour. It must be warm. |Blue."),
    ("system_prompt", "Be kind. ", BARE, "Be kind. Name a colour. |Red."),
    ("system_prompt", "Be kind. ", ROW, PLAIN),
    ("system_format", "<{system}> ", ROW, "<Be brief.> Name a colour. It must be warm. |Red."),
    ("system_format", "<{system}> ", BARE, "Name a colour. |Red."),
    ("format", "{input} {instruction}", ROW, "Be brief.It must be warm. Name a colour.|Red."),
    ("format", "{{{instruction}}} {{}}", ROW, "Be brief.{Name a colour.} {}|Red."),
    ("no_input_format", "[{instruction}]", BARE, "[Name a colour.]|Red."),
    ("no_input_format", "[{instruction}]", ROW, PLAIN),
]


def written(mapping: dict[str, Any], row: dict[str, Any]) -> str:
    """The prompt and the answer of a row, for a file that has the mapping as its `type`."""
    config = load_config({"base_model": "m", "datasets": [{"path": "d", "type": mapping}]})
    assert not examine(config, machine=Machine(gpu=False, bf16=False)).errors
    (source,) = config.data.datasets
    assert source.type is not None
    assert not isinstance(source.type, str)
    bound = bind(source.type.model_dump(), shared=shared_settings(config))
    prompt, answer = bound.segments(row)
    assert (prompt.train, prompt.bos, answer.train, answer.eos) == (False, True, True, 1)
    return f"{prompt.text}|{answer.text}"


@pytest.mark.parametrize(("key", "value", "row", "text"), EFFECTS)
def test_every_key_of_the_mapping_does_something(
    key: str, value: str, row: dict[str, Any], text: str
) -> None:
    assert written({}, ROW) == PLAIN
    assert written({key: value}, row) == text


@pytest.mark.parametrize(
    ("key", "template", "message"),
    [
        (
            "format",
            "{instruction.__class__}",
            "{instruction.__class__} is no placeholder; there is",
        ),
        ("format", "{instruction[0]}", "{instruction[0]} is no placeholder"),
        ("format", "{instruction!r}", "{instruction!r} is no placeholder"),
        ("format", "{instruction:>9}", "{instruction:>9} is no placeholder"),
        (
            "format",
            "{question}",
            "{question} is no placeholder; there is {instruction} and {input}",
        ),
        ("format", "{system} {instruction}", "{system} is no placeholder"),
        ("format", "{}", "{} is no placeholder"),
        ("no_input_format", "{instruction} {input}", "{input} is no placeholder; there is {instr"),
        ("system_format", "{instruction}", "{instruction} is no placeholder; there is {system},"),
        ("system_format", "{system", "has a single brace"),
        ("format", '{"q": "{instruction}"}', "braces that are meant as such"),
        ("format", "{instruction} }", "has a single brace"),
    ],
)
def test_a_template_can_ask_for_nothing_else(key: str, template: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        bind({key: template}, key="datasets.0.type")
    assert caught.value.key == f"datasets.0.type.{key}"
    config = load_config({"base_model": "m", "datasets": [{"path": "d", "type": {key: template}}]})
    (found,) = examine(config, machine=Machine(gpu=False, bf16=False)).errors
    assert (found.rule, found.key) == ("dataset-types", f"datasets.0.type.{key}")


def test_the_name_alone_is_no_mapping() -> None:
    config = load_config({"base_model": "m", "datasets": [{"path": "d", "type": "custom"}]})
    (found,) = examine(config, machine=Machine(gpu=False, bf16=False)).errors
    assert (found.rule, found.key) == ("dataset-types", "datasets.0.type")
    assert "`type: custom` says nothing of the prompts" in found.message
    assert found.hint.startswith("write a mapping")
    mapping = yaml.safe_load(found.hint.split("`")[1])["type"]
    assert bind(mapping).segments({"q": "Why?", "a": "So."})[0].text == "Q: Why? A: "


def test_a_misspelt_key_of_the_mapping_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="no_input_format"):
        load_config(
            {"base_model": "m", "datasets": [{"path": "d", "type": {"no_input_fromat": "x"}}]}
        )


def test_a_setting_beside_the_mapping_that_it_overrules() -> None:
    with pytest.raises(
        ConfigError, match="`field_system: sys` stands beside the mapping"
    ) as caught:
        bind({"field_system": "system"}, settings={"field_system": "sys"})
    assert caught.value.hint == "move `field_system` below `type:`"


def test_a_row_without_an_answer_names_the_field() -> None:
    with pytest.raises(DataError, match="no field 'a'"):
        bind({"field_output": "a"}).segments({"instruction": "Name a colour.", "output": "Red."})


def test_a_question_is_asked_with_the_system_text_of_the_mapping() -> None:
    bound = bind({"system_prompt": "Be brief.", "no_input_format": " [{instruction}]"})
    assert [part.text for part in bound.prompt("Why?")] == ["Be brief. [Why?]"]
