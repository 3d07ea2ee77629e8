"""One file over another: what wins, what is kept, and from where it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from axolotl.config import load_config
from axolotl.errors import ConfigErrors

BASE = """\
base_model: m
datasets:
  - path: a.jsonl
    type: alpaca
  - path: b.jsonl
lora_r: 8
seed: 7
special_tokens:
  pad_token: <pad>
  eos_token: <eos>
lora_target_modules: [q_proj, v_proj]
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write("base.yml", BASE)


def write(name: str, text: str) -> str:
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text(text, encoding="utf-8")
    return name


def problems(source: Any, overrides: Any = ()) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        load_config(source, overrides)
    return [str(problem) for problem in caught.value.problems]


def test_mappings_are_merged_and_everything_else_is_replaced() -> None:
    text = "base: base.yml\nlora_r: 16\nspecial_tokens:\n  eos_token: </s>\n  bos_token: <s>\n"
    config = load_config(write("top.yml", f"{text}lora_target_modules: [k_proj]\n"))
    assert (config.model.base_model, config.adapter.lora_r) == ("m", 16)
    assert config.model.special_tokens == {
        "pad_token": "<pad>",
        "eos_token": "</s>",
        "bos_token": "<s>",
    }
    assert config.adapter.lora_target_modules == ["k_proj"]
    assert [source.path for source in config.data.datasets] == ["a.jsonl", "b.jsonl"]
    origins = {
        "base_model": "base.yml:1",
        "datasets.1.path": "base.yml:5",
        "lora_r": "top.yml:2",
        "special_tokens.pad_token": "base.yml:9",
        "special_tokens.eos_token": "top.yml:4",
        "lora_target_modules": "top.yml:6",
    }
    assert {key: config.origin(key) for key in origins} == origins


def test_a_list_of_entries_is_replaced_as_a_whole() -> None:
    config = load_config(write("top.yml", "base: base.yml\ndatasets: [{path: c.jsonl}]\n"))
    assert [(source.path, source.type) for source in config.data.datasets] == [("c.jsonl", None)]


def test_an_empty_key_takes_away_what_lies_below() -> None:
    text = "base: base.yml\nseed:\nspecial_tokens:\n  pad_token: ~\nlora_target_modules:\n"
    config = load_config(write("top.yml", text))
    assert config.training.seed == 42
    assert config.model.special_tokens == {"eos_token": "<eos>"}
    assert config.adapter.lora_target_modules is None
    assert "seed" not in config.given()


def test_a_base_may_have_a_base_and_paths_are_seen_from_the_file() -> None:
    write("shared/middle.yml", "base: ../base.yml\nlora_r: 9\nseed: 9\n")
    config = load_config(write("top.yml", "base: shared/middle.yml\nseed: 10\n"))
    assert (config.adapter.lora_r, config.training.seed) == (9, 10)
    assert config.origin("lora_r") == "shared/middle.yml:2"
    assert config.origin("base_model") == "shared/../base.yml:1"


def test_an_absolute_path_and_one_from_home_are_bases(monkeypatch: pytest.MonkeyPatch) -> None:
    write("sub/top.yml", f"base: {Path('base.yml').resolve()}\n")
    assert load_config("sub/top.yml").adapter.lora_r == 8
    monkeypatch.setenv("HOME", str(Path.cwd()))
    write("sub/top.yml", "base: ~/base.yml\n")
    assert load_config("sub/top.yml").adapter.lora_r == 8


def test_overrides_reach_into_what_a_base_says() -> None:
    arguments = ["--datasets.1.type", "alpaca", "--lora_r=2", "--special_tokens.pad_token", "<p>"]
    config = load_config(write("top.yml", "base: base.yml\n"), arguments)
    assert config.data.datasets[1].type == "alpaca"
    assert config.origin("datasets.1.path") == "base.yml:5"
    assert config.adapter.lora_r == 2
    assert config.model.special_tokens == {"pad_token": "<p>", "eos_token": "<eos>"}


def test_a_variable_may_name_the_base(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHICH", "base")
    assert load_config(write("top.yml", "base: ${WHICH}.yml\n")).adapter.lora_r == 8


def test_a_variable_of_a_replaced_value_need_not_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NONE", raising=False)
    write("base.yml", f"{BASE}val_set_size: ${{NONE}}\n")
    assert load_config(write("top.yml", "base: base.yml\nval_set_size: 3\n")).data.val_set_size == 3
    write("top.yml", "base: base.yml\n")
    assert problems("top.yml")[0].startswith("base.yml:12: val_set_size: the environment variable")


def test_a_mapping_is_based_on_a_file_of_the_current_folder() -> None:
    config = load_config({"base": "base.yml", "lora_r": 4, "special_tokens": {"bos_token": "<s>"}})
    assert (config.adapter.lora_r, config.training.seed) == (4, 7)
    assert config.model.special_tokens["pad_token"] == "<pad>"
    assert (config.origin("lora_r"), config.origin("seed")) == ("argument", "base.yml:7")


def test_an_empty_base_is_none() -> None:
    assert load_config(write("top.yml", f"base:\n{BASE}")).adapter.lora_r == 8


def test_strict_counts_wherever_it_is_written() -> None:
    write("base.yml", f"{BASE}strict: true\n")
    config = load_config(write("top.yml", "base: base.yml\n"), ["--lora_r=4", "--sequence_len=9"])
    assert config.adapter.lora_r == 4
    assert [(note.rule, note.key) for note in config.notes] == [("strict", "sequence_len")]
    write("base.yml", BASE)
    config = load_config(
        write("top.yml", "strict: true\nbase: base.yml\n"), ["--lora_r=4", "--sequence_len=9"]
    )
    assert config.adapter.lora_r == 4
    assert [note.key for note in config.notes] == ["sequence_len"]


def test_an_old_way_in_a_base_is_noted_with_its_line() -> None:
    write("base.yml", BASE.replace("special_tokens", "tokens"))
    config = load_config(write("top.yml", "base: base.yml\nspecial_tokens: {eos_token: </s>}\n"))
    assert config.model.special_tokens == {"pad_token": "<pad>", "eos_token": "</s>"}
    (note,) = config.notes
    assert (note.rule, note.where) == ("tokens-as-mapping", "base.yml:8")


@pytest.mark.parametrize(
    ("below", "above", "key", "value"),
    [
        ("revision_of_model: a", "model_revision: b", "model_revision", "b"),
        ("model_revision: a", "revision_of_model: b", "model_revision", "b"),
        ("batch_size: 8", "gradient_accumulation_steps: 2", "gradient_accumulation_steps", 2),
        ("gradient_accumulation_steps: 2", "batch_size: 8", "gradient_accumulation_steps", 8),
    ],
)
def test_a_new_name_replaces_the_old_one_of_a_base(
    below: str, above: str, key: str, value: Any
) -> None:
    write("base.yml", f"{BASE}{below}\n")
    config = load_config(write("top.yml", f"base: base.yml\n{above}\n"))
    assert config.as_dict()[key] == value
    assert config.origin(key) == "top.yml:2"
    name, _, said = above.partition(": ")
    config = load_config("base.yml", [f"--{name}={said}"])
    assert config.as_dict()[key] == value
    assert config.origin(key) == f"--{name}"


def test_problems_of_all_files_come_at_once() -> None:
    write("base.yml", f"{BASE}lora_rr: 1\nlora_r: 2\n")
    found = problems(write("top.yml", "base: base.yml\nseed: x\n"))
    assert [text.partition(": ")[0] for text in found] == [
        "base.yml:12",
        "base.yml:13",
        "top.yml:2",
    ]


def test_what_is_missing_is_missing_in_the_file_that_was_named() -> None:
    write("base.yml", "seed: 1\n")
    assert problems(write("top.yml", "base: base.yml\n"))[0].startswith("top.yml: base_model")


def test_a_circle_names_its_files() -> None:
    write("a.yml", "seed: 1\nbase: b.yml\n")
    write("b.yml", "base: ./sub/../a.yml\n")
    Path("sub").mkdir()
    (problem,) = problems("a.yml")
    assert problem.startswith("b.yml:1: base: files lie over one another in a circle: ")
    assert "a.yml → b.yml → sub/../a.yml" in problem
    write("a.yml", "base: a.yml\n")
    assert problems("a.yml")[0].startswith("a.yml:1: base: files lie over one another in a circle")


def test_too_many_files_are_refused() -> None:
    for number in range(30):
        write(f"{number}.yml", f"base: {number + 1}.yml\n")
    assert "more than 20 files" in problems("0.yml")[0]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("base: bse.yml", "no such file: 'bse.yml'\n  hint: did you mean 'base.yml'?"),
        ("base: no/x.yml", "no such file: 'no/x.yml'\n  hint: there is no folder 'no'"),
        ("base: folder", "base: 'folder' is a folder\n  hint: name one of its files"),
        ("base: [base.yml]", "expected the name of one file"),
        ("base: {a: b}", "expected the name of one file"),
        ("base: ' '", "expected the name of one file"),
        ('base: "a\\0b"', "no such file"),
        (f"base: {'x' * 5000}", "no such file"),
        ("base: ${NONE}", "base: the environment variable 'NONE' is not set"),
        ("base: '-'", "no such file: '-'"),
        ("base: fifo", "base: this is no ordinary file: 'fifo'"),
        ("base: file:///etc/passwd", "no such file"),
    ],
)
def test_a_base_that_cannot_be_has_the_place_of_its_line(
    monkeypatch: pytest.MonkeyPatch, line: str, message: str
) -> None:
    monkeypatch.delenv("NONE", raising=False)
    Path("folder").mkdir()
    os.mkfifo("fifo")
    (problem,) = problems(write("top.yml", f"seed: 1\n{line}\n"))
    assert problem.startswith("top.yml:2: base: ")
    assert message in problem


def test_broken_yaml_in_a_base_has_the_place_there() -> None:
    write("base.yml", "a: [1\n")
    assert problems(write("top.yml", "base: base.yml\n"))[0].startswith(
        "base.yml:1: not valid YAML"
    )
    Path("base.yml").write_bytes(b"\xff\xfea\0")
    assert problems("top.yml")[0].startswith("base.yml: this is UTF-16 text")


def test_base_is_no_option() -> None:
    hint = "it belongs into a file"
    assert hint in problems("base.yml", ["--base", "other.yml"])[0]
