"""`axolotl explain`: what an option is, and what it is in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from axolotl.cli.explain import main
from axolotl.config.paths import paths
from axolotl.config.reference import default_words
from axolotl.config.sources import DatasetSource
from axolotl.formats import chat_template

FILE = "base_model: m\ndatasets:\n  - path: d.jsonl\n    type: alpaca\nlora_r: 4\nsample_packing: true\n"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("f.yml").write_text(FILE)


def explain(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def document(*arguments: str) -> dict[str, Any]:
    result = explain(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("key", paths())
def test_every_key_is_explained(key: str) -> None:
    found = document(key)
    assert found["key"] == key
    assert found["takes"]
    assert found["default"]
    assert found["origin"] == ""


def test_what_an_option_takes_needs_and_who_looks_at_it() -> None:
    found = document("lora_out_dir")
    assert found["needs"] == "`adapter`"
    assert "folder-of-the-adapter" in found["rules"]
    assert "without an adapter" in found["rules"]["no-effect"]
    assert document("gradient-accumulation-steps")["takes"] == "a whole number, at least 1"


@pytest.mark.parametrize(
    ("key", "default", "rules"),
    [
        ("datasets.split_thinking", "false", []),
        ("datasets.roles_to_train", "[assistant]", []),
        ("datasets.0.train_on_eot", "as train_on_eos", []),
        ("datasets.shards_idx", "0", ["one-shard-of-a-data-set"]),
        ("test_datasets.type", "—", ["dataset-types"]),
    ],
)
def test_a_key_inside_has_its_own_default_and_rules(
    key: str, default: str, rules: list[str]
) -> None:
    found = document(key)
    assert (found["default"], list(found["rules"])) == (default, rules)


def test_defaults_of_a_chat_are_those_of_the_format() -> None:
    for name, info in chat_template.Options.model_fields.items():
        words = default_words(info)
        if words != "—":
            words = words.replace('"', "")
            assert default_words(DatasetSource.model_fields[name]) == words, name


@pytest.mark.parametrize(
    ("arguments", "value", "origin"),
    [
        (["f.yml", "lora_r"], 4, "f.yml:5"),
        (["f.yml", "datasets.0.type"], "alpaca", "f.yml:4"),
        (["f.yml", "eval_sample_packing"], True, "implied by sample_packing"),
        (["f.yml", "seed"], 42, "default"),
        (["f.yml", "seed", "--seed", "0"], 0, "--seed"),
        (["f.yml", "--seed=0", "seed"], 0, "--seed"),
        (["f.yml", "special_tokens.pad_token"], None, "default"),
    ],
)
def test_a_file_says_the_value_and_where_it_comes_from(
    arguments: list[str], value: Any, origin: str
) -> None:
    found = document(*arguments)
    assert (found["value"], found["origin"]) == (value, origin)


def test_what_the_rules_say_of_it_is_told() -> None:
    assert [f["rule"] for f in document("f.yml", "lora_r")["findings"]] == ["no-effect"]
    assert document("f.yml", "seed")["findings"] == []
    page = explain("f.yml", "lora_r")
    assert "here     4  (f.yml:5)" in page.stdout
    assert "f.yml:5: warning: lora_r has no effect" in page.stderr


def test_a_pattern_lists_the_options_that_are_like_it() -> None:
    lines = explain("wandb_*").stdout.splitlines()
    assert len(lines) == 7
    assert lines[0].startswith("wandb_project ")
    assert {found["key"] for found in document("warmup_rat*")} == {"warmup_ratio"}  # type: ignore[index]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["lora_rr"], "no option 'lora_rr'\n  hint: did you mean 'lora_r'?"),
        (["datasets.0.pth"], "no option 'datasets.0.pth'\n  hint: did you mean 'datasets.0.path'?"),
        (["adam_eps"], "the option is called adam_epsilon"),
        (["eval_strategy"], "called evaluation_strategy here"),
        (["rl_beta"], "known since a later release"),
        ([], "name one option"),
        (["--seed", "1", "seed"], "overrides need a CONFIG"),
        (["g.yml", "seed"], "no such file"),
        (["zzz_*"], "no option is like 'zzz_*'"),
    ],
)
def test_what_is_no_option_ends_with_2_and_a_way_out(arguments: list[str], says: str) -> None:
    result = explain(*arguments)
    assert result.exit_code == 2
    assert says in result.stderr
