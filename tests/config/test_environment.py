"""Variables of the environment stand in values, typed like what was written itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axolotl.config import load_config
from axolotl.config.environment import expand_text
from axolotl.errors import ConfigErrors

SMALL = "base_model: m\ndatasets:\n  - path: d.jsonl\n    type: alpaca\n"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    for name in ("NONE", "NOTHING"):
        monkeypatch.delenv(name, raising=False)
    variables = {
        "R": "16",
        "EMPTY": "",
        "REFERENCE": "${R}",
        "PAIR": "[q_proj, v_proj]",
        "OFF": "no",
        "PADDED": " 5\n",
        "_a1": "x",
    }
    for name, text in variables.items():
        monkeypatch.setenv(name, text)

    def write_text(text: str) -> str:
        Path("f.yml").write_text(SMALL + text, encoding="utf-8")
        return "f.yml"

    return write_text


def problems(source: Any, overrides: Any = ()) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        load_config(source, overrides)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("lora_r: ${R}", 16),
        ("lora_r: '${R}'", 16),
        ("lora_r: ${PADDED}", 5),
        ("lora_r: 1${R}", 116),
        ("lora_r: ${NONE:-4}", 4),
        ("lora_r: ${EMPTY:-4}", 4),
        ("lora_r: ${EMPTY}", 8),  # unset
        ("lora_r: ${NONE:-}", 8),
        ("sample_packing: ${OFF}", False),
        ("lora_target_modules: ${PAIR}", ["q_proj", "v_proj"]),
        ("lora_target_modules: ['${R}', b]", ["16", "b"]),
        ("output_dir: runs/${R}/${_a1}-${NONE:-a:b-c}", "runs/16/x-a:b-c"),
        ("output_dir: ${REFERENCE}", "${R}"),  # what a variable holds is not looked into
        ("output_dir: $${R}", "${R}"),
        ("output_dir: $$${R}", "$${R}"),
        ("output_dir: $R/$(R)/$$R/a$/{R}", "$R/$(R)/$$R/a$/{R}"),
        ("output_dir: >-\n  a ${R}\n  b", "a 16 b"),
        ("output_dir: '${PADDED}'", " 5\n"),
        ("output_dir: ${PADDED}", "5"),
    ],
)
def test_a_variable_stands_in_a_value(write: Any, line: str, value: Any) -> None:
    config = load_config(write(f"{line}\n"))
    key = line.partition(":")[0]
    assert config.as_dict()[key] == value
    assert config.origin(key) == "f.yml:5"


def test_keys_and_python_values_are_left_alone(write: Any) -> None:
    (problem,) = problems(write("${R}: 1\n"))
    assert problem.startswith("f.yml:5: unknown key '${R}'")
    source = {"base_model": "${R}", "datasets": [{"path": "d"}]}
    config = load_config(source, {"output_dir": "${R}"})
    assert (config.model.base_model, config.saving.output_dir) == ("${R}", "${R}")


def test_overrides_are_expanded(write: Any) -> None:
    arguments = ["--lora_r", "${R}", "--tokens=[<${R}>]", "--output_dir=$${R}"]
    config = load_config(write(""), arguments)
    assert (config.adapter.lora_r, config.model.tokens) == (16, ["<16>"])
    assert config.saving.output_dir == "${R}"


def test_all_variables_that_are_not_set_are_told_once_each(write: Any) -> None:
    text = "lora_r: ${NONE}\nlora_dropout: 7\nspecial_tokens:\n  pad_token: a${NOTHING}\n"
    assert problems(write(text), ["--seed", "${NONE}"]) == [
        "f.yml:5: lora_r: the environment variable 'NONE' is not set\n"
        "  hint: set it (`export NONE=…`), or give a default: ${NONE:-…}",
        "f.yml:6: lora_dropout: must be less than 1.0, got 7.0",
        "f.yml:8: special_tokens.pad_token: the environment variable 'NOTHING' is not set\n"
        "  hint: set it (`export NOTHING=…`), or give a default: ${NOTHING:-…}",
        "--seed: seed: the environment variable 'NONE' is not set\n"
        "  hint: set it (`export NONE=…`), or give a default: ${NONE:-…}",
    ]


def test_a_required_value_that_cannot_be_read_is_not_missing_besides(write: Any) -> None:
    Path("g.yml").write_text("base_model: ${NONE}\ndatasets:\n  - path: ${NOTHING}\n")
    first, second = problems("g.yml")
    assert first.startswith("g.yml:1: base_model: the environment variable 'NONE'")
    assert second.startswith("g.yml:3: datasets.0.path: the environment variable 'NOTHING'")


def test_a_value_that_is_replaced_needs_no_variable(write: Any) -> None:
    assert load_config(write("lora_r: ${NONE}\n"), ["--lora_r", "4"]).adapter.lora_r == 4


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("${R", "'${' is not closed"),
        ("a ${R} ${", "'${' is not closed"),
        ("${}", "'${}' names no variable"),
        ("${1}", "'${1}' names no variable"),
        ("${R-4}", "'${R-4}' names no variable"),
        ("${R R}", "names no variable"),
        ("${NONE:-${R}}", "has a variable inside of another"),
    ],
)
def test_what_begins_like_a_variable_and_is_none_is_an_error(
    write: Any, value: str, message: str
) -> None:
    (problem,) = problems(write(f"output_dir: {value}\n"))
    assert problem.startswith("f.yml:5: output_dir: ")
    assert message in problem
    assert "\n  hint: " in problem


def test_in_brackets_a_variable_needs_quotes(write: Any) -> None:
    for value in ("[${R}]", "[a, ${R}]", "{pad_token: ${R}}"):
        (problem,) = problems(write(f"tokens: {value}\n"))
        assert 'hint: write "${NAME}" in quotes' in problem


@given(st.text(alphabet="${}AB:- \n"))
def test_text_without_a_brace_behind_a_dollar_is_kept(text: str) -> None:
    kept = text.replace("${", "$ {")
    assert expand_text(kept, {}) == kept
