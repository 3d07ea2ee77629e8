"""`--key value` replaces what the file says, with the types of the options."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axolotl.config import load_config, options
from axolotl.config.load import load_arguments
from axolotl.config.overrides import split_arguments
from axolotl.errors import ConfigError, ConfigErrors

SMALL = {
    "base_model": "m",
    "datasets": [{"path": "a.jsonl", "type": "alpaca"}, {"path": "b.jsonl"}],
    "lora_r": 8,
}


@pytest.mark.parametrize(
    ("arguments", "key", "value"),
    [
        (["--lora_r", "16"], "lora_r", 16),
        (["--lora_r=16"], "lora_r", 16),
        (["--lora-r", "16"], "lora_r", 16),
        (["--lora_r", "4", "--lora_r", "16"], "lora_r", 16),
        (["--learning_rate", "2e-4"], "learning_rate", 2e-4),
        (["--sample_packing"], "sample_packing", True),
        (["--sample_packing", "false"], "sample_packing", False),
        (["--sample_packing=False"], "sample_packing", False),
        (["--no-sample_packing"], "sample_packing", False),
        (["--no-sample-packing"], "sample_packing", False),
        (["--bf16", "auto"], "bf16", "auto"),
        (["--resume_from_checkpoint"], "resume_from_checkpoint", True),
        (["--resume_from_checkpoint", "runs/a"], "resume_from_checkpoint", "runs/a"),
        (["--output_dir", "-x"], "output_dir", "-x"),
        (["--output_dir=--x"], "output_dir", "--x"),
        (["--tokens", "[<a>, '<b>']"], "tokens", ["<a>", "<b>"]),
        (["--special_tokens.pad_token", "<pad>"], "special_tokens", {"pad_token": "<pad>"}),
        (["--special_tokens", "{pad_token: <pad>}"], "special_tokens", {"pad_token": "<pad>"}),
        (["--lora_target_modules", "[a, b]"], "lora_target_modules", ["a", "b"]),
        (["--lora_target_modules", ".*proj"], "lora_target_modules", ".*proj"),
        (["--lora_r", "null"], "lora_r", 8),
        (["--adapter="], "adapter", None),
        (["--no-bf16"], "bf16", False),
        (["--no_bf16"], "bf16", False),
        (["--datasets.0.path=--x"], "datasets.0.path", "--x"),
        (["--lora_target_modules", "[]"], "lora_target_modules", []),
        (
            ["--lora_target_modules", '["q_proj", "v_proj"]'],
            "lora_target_modules",
            ["q_proj", "v_proj"],
        ),
        (["--lora_target_modules.0", "q_proj"], "lora_target_modules", ["q_proj"]),
        (["--special_tokens", '{"pad_token": "<pad>"}'], "special_tokens", {"pad_token": "<pad>"}),
        (
            ["--lr_scheduler_kwargs", "{a: 1, b: [x, {c: 2e-1}]}"],
            "lr_scheduler_kwargs",
            {"a": 1, "b": ["x", {"c": 0.2}]},
        ),
        (["--lr_scheduler_kwargs.a.b", "1"], "lr_scheduler_kwargs", {"a": {"b": 1}}),
        (["--output_dir", "a=b --c"], "output_dir", "a=b --c"),
    ],
)
def test_an_override_replaces_the_value(arguments: list[str], key: str, value: Any) -> None:
    config = load_config({**SMALL, "lora_r": 2}, arguments)
    found: Any = config.as_dict()
    for part in key.split("."):
        found = found[int(part) if part.isdecimal() else part]
    assert found == value
    assert type(found) is type(value)
    assert config.origin(key).startswith("--")


def test_nested_overrides_reach_into_lists() -> None:
    config = load_config(SMALL, ["--datasets.0.path", "x.jsonl", "--datasets[1].type=completion"])
    first, second = config.data.datasets
    assert (first.path, first.type) == ("x.jsonl", "alpaca")
    assert (second.path, second.type) == ("b.jsonl", "completion")
    assert config.origin("datasets.0.path") == "--datasets.0.path"
    assert config.origin("datasets.0.type") == "argument"
    config = load_config(SMALL, ["--datasets[0].path", "y.jsonl"])
    assert config.data.datasets[0].path == "y.jsonl"
    assert config.origin("datasets.0.path") == "--datasets[0].path"


def test_a_key_of_a_mapping_is_overridden_alone() -> None:
    source = {**SMALL, "special_tokens": {"pad_token": "<p>", "eos_token": "<e>"}}
    config = load_config(source, ["--special_tokens.pad_token", "<pad>"])
    assert config.model.special_tokens == {"pad_token": "<pad>", "eos_token": "<e>"}
    assert config.origin("special_tokens.pad_token") == "--special_tokens.pad_token"
    assert config.origin("special_tokens.eos_token") == "argument"


def test_a_list_can_grow_by_one_but_has_no_holes() -> None:
    config = load_config(SMALL, ["--datasets.2.path", "c.jsonl"])
    assert [source.path for source in config.data.datasets] == ["a.jsonl", "b.jsonl", "c.jsonl"]
    with pytest.raises(ConfigErrors, match=r"has entries 0 to 1\n.*`--datasets\.2…` would add one"):
        load_config(SMALL, ["--datasets.7.path", "c.jsonl"])


def test_a_single_value_has_no_parts() -> None:
    with pytest.raises(ConfigErrors, match=r"tokens\.0\.x: 'tokens\.0' is a single value"):
        load_config({**SMALL, "tokens": ["<a>"]}, ["--tokens.0.x", "1"])


@pytest.mark.parametrize("order", [1, -1])
def test_two_overrides_that_say_the_same_thing_contradict_each_other(order: int) -> None:
    pairs = ["--batch_size=8", "--gradient_accumulation_steps=2"][::order]
    (note,) = load_config(SMALL, pairs).notes
    assert note.level == "error"
    assert "exclude each other" in note.message
    alone = load_config({**SMALL, "gradient_accumulation_steps": 4}, ["--batch_size=8"])
    assert alone.training.gradient_accumulation_steps == 8  # that of the file is replaced


def test_overrides_may_come_as_a_mapping() -> None:
    config = load_config(SMALL, {"lora_r": 32, "datasets.0.path": "x.jsonl", "tokens": ["<a>"]})
    assert config.adapter.lora_r == 32
    assert config.data.datasets[0].path == "x.jsonl"
    assert config.model.tokens == ["<a>"]
    assert config.origin("lora_r") == "argument"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lora_rank", "8"], r"--lora_rank: unknown key 'lora_rank'\n.*did you mean 'lora_r'"),
        (["--lora-rank"], r"--lora-rank: unknown key 'lora_rank'"),
        (["--datasets.0.pth", "x"], r"--datasets\.0\.pth: unknown key 'datasets\.0\.pth'"),
        (["--lora_r", "many"], r"--lora_r: lora_r: expected a whole number, got 'many'"),
        (["--lora_r"], r"--lora_r: lora_r needs a value\n  hint: write --lora_r=…"),
        (["--lora_r", "--seed", "1"], r"--lora_r: lora_r needs a value"),
        (["--no-lora_r"], r"--no-lora_r: unknown key 'no_lora_r'"),
        (
            ["--lora_r.x", "1"],
            r"--lora_r\.x: lora_r\.x: 'lora_r' is a single value, .*\n.*`--lora_r VALUE`",
        ),
        (
            ["--datasets.path", "x"],
            r"'datasets' is a list, whose entries have numbers\n  hint: write --datasets\.0\.path",
        ),
        (["--=x"], r"--: unknown key ''"),
        (["--rl_beta", "x"], r"--rl_beta: .*'rl_beta' is known"),
        (["--tokens", "[a"], r"--tokens: tokens: '\[a' cannot be read as a list"),
        (["-x"], r"-x: no such option"),
        (["--max_steps", "-1"], r"--max_steps: max_steps: must be at least 1, got -1"),
        (["--learning_rate", "-1e-4"], r"--learning_rate: learning_rate: must be .*got -0\.0001"),
        (["--datasets.7.path", "x"], r"--datasets\.7\.path: .*has entries 0 to 1\n"),
        (["--datasets.-1.path", "x"], r"'datasets' is a list, whose entries have numbers"),
        (["--datasets.²", "x"], r"'datasets' is a list, whose entries have numbers"),
        (["--seed.0", "1"], r"--seed\.0: .*'seed' is a single value, .*\n.*write `--seed VALUE`"),
        (["--special_tokens.pad", "x"], r"did you mean 'special_tokens\.pad_token'"),
        (["--tokens", "{a: 1, a: 2}"], r"key 'tokens\.a' is written twice"),
        (["--tokens" + ".0" * 60, "x"], r"nested too deeply"),
        (["--tokens", "[" * 60 + "]" * 60], r"nested too deeply"),
        (["--" + "k" * 5000, "x"], r"a key of 5,000 characters is none"),
        (["--output_dir", "a\udcff"], r"--output_dir: output_dir: the character U\+DCFF cannot"),
        (["--allow_unknown=maybe"], r"--allow_unknown: allow_unknown: expected true or false"),
        (["x.yml"], r"'x\.yml' is no override"),
    ],
)
def test_a_wrong_override_is_an_error_that_names_it(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigErrors, match=message):
        load_config(SMALL, arguments)


def test_problems_of_overrides_come_after_those_of_the_file() -> None:
    with pytest.raises(ConfigErrors) as caught:
        load_config({**SMALL, "sed": 1}, ["--lora_r", "many"])
    assert [problem.where for problem in caught.value.problems] == ["--lora_r", "argument"]


def test_a_strict_file_takes_overrides_only_for_what_it_has() -> None:
    config = load_config({**SMALL, "strict": True}, ["--lora_r", "4", "--seed", "7"])
    assert config.adapter.lora_r == 4
    assert config.training.seed == 42
    (note,) = config.notes
    assert (note.level, note.key, note.where) == ("warning", "seed", "--seed")


@pytest.mark.parametrize(
    ("arguments", "others"),
    [
        (["c.yml", "--lora_r", "4"], ["c.yml"]),
        (["--lora_r", "4", "c.yml"], ["c.yml"]),
        (["--sample_packing", "c.yml"], ["c.yml"]),
        (["--no-sample_packing", "c.yml"], ["c.yml"]),
        (["--seed", "-1", "c.yml"], ["c.yml"]),
        (["a.yml", "b.yml"], ["a.yml", "b.yml"]),
    ],
)
def test_a_file_name_is_told_from_values(arguments: list[str], others: list[str]) -> None:
    assert split_arguments(arguments, options())[0] == others


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["--allow_unknown"], True),
        (["--allow-unknown"], True),
        (["--allow_unknown", "true"], True),
        (["--allow_unknown=Yes"], True),
        (["--allow_unknown", "--no-allow_unknown"], False),
        (["--allow_unknown", "false"], False),
        ([], False),
    ],
)
def test_unknown_keys_can_be_allowed(arguments: list[str], allowed: bool) -> None:
    arguments = [*arguments, "--lora_rr", "4"]
    if not allowed:
        with pytest.raises(ConfigErrors, match="unknown key 'lora_rr'"):
            load_config(SMALL, arguments)
        return
    (note,) = load_config(SMALL, arguments).notes
    assert (note.level, note.rule, note.key) == ("warning", "unknown-key", "lora_rr")
    assert (note.where, note.hint) == ("--lora_rr", "did you mean 'lora_r'?")
    assert split_arguments(["--allow_unknown", "c.yml"], options())[0] == ["c.yml"]


def test_a_list_in_pieces_is_told_to_be_one_argument() -> None:
    def hint(*arguments: str) -> str:
        with pytest.raises(ConfigErrors, match=r"several files: f\.yml, ") as caught:
            load_arguments(arguments)
        return str(caught.value.problems[0].hint)

    assert hint("f.yml", "g.yml") == "name one; if 'g.yml' is a value, write `--key=g.yml`"
    said = hint("f.yml", "--lora_target_modules", "q_proj", "v_proj")
    assert said.endswith("and a list as one argument: `--key '[a, b]'`")


WORDS = st.sampled_from(
    [
        "--lora_r",
        "--lora_r=1",
        "--datasets.0.path",
        "--tokens",
        "--no-strict",
        "[a",
        "{",
        "x",
        "--",
        "",
    ]
)


@settings(deadline=None, max_examples=200)
@given(st.lists(WORDS | st.text(alphabet="-=.0a[]{}: ")))
def test_any_arguments_are_overrides_or_an_error(arguments: list[str]) -> None:
    try:
        config = load_config(SMALL, arguments)
    except ConfigErrors:
        return
    assert config.model.base_model == "m"


def test_one_text_is_no_sequence_of_arguments() -> None:
    with pytest.raises(TypeError, match="not one text"):
        load_config(SMALL, "--lora_r 4")
    with pytest.raises(ConfigError, match="no such option"):
        split_arguments(["-v"], options())
