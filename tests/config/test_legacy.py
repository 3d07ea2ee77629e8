"""Old ways of writing: what they are read as, what is said, and the edits that say the same."""

from __future__ import annotations

from typing import Any

import pytest

from axolotl.config import load_config, options
from axolotl.config.legacy_names import NO_EFFECT, REMOVED, RENAMED
from axolotl.errors import ConfigErrors
from axolotl.records import Edit, Finding
from axolotl.resolve import examine

SMALL: dict[str, Any] = {"base_model": "m", "datasets": [{"path": "d.jsonl", "type": "alpaca"}]}


def read(given: dict[str, Any]) -> tuple[dict[str, Any], Finding]:
    """The options as read, and the one thing that is said of them."""
    config = load_config({**SMALL, **given})
    assert len(config.notes) == 1, config.notes
    return config.as_dict(), config.notes[0]


def test_old_names_are_no_options() -> None:
    assert {*RENAMED, *REMOVED, *NO_EFFECT}.isdisjoint(options())
    assert set(RENAMED.values()) <= set(options())


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_a_renamed_key_is_read_by_its_present_name(old: str, new: str) -> None:
    value = {"evaluation_strategy": "epoch", "model_type": "X", "model_revision": "x"}.get(new, 3)
    options_read, finding = read({old: value})
    assert options_read[new] == value
    assert (finding.level, finding.rule, finding.key) == ("info", "renamed", old)
    assert finding.fix == (Edit("rename", old, new),)


@pytest.mark.parametrize("key", ["datasets", "test_datasets"])
def test_a_renamed_key_of_a_data_set(key: str) -> None:
    entry = {"path": "d.jsonl", "type": "alpaca", "split": "train[:10%]"}
    options_read, finding = read({key: [SMALL["datasets"][0], entry]})
    assert options_read[key][1]["train_on_split"] == "train[:10%]"
    assert (finding.level, finding.key) == ("info", f"{key}.1.split")
    assert finding.fix == (Edit("rename", f"{key}.1.split", f"{key}.1.train_on_split"),)
    _, finding = read({key: [{**entry, "train_on_split": "test"}]})
    assert finding.level == "error"
    assert "say different things" in finding.message


@pytest.mark.parametrize(
    ("given", "steps", "said"),
    [
        ({"relora": True, "relora_steps": 5}, 5, {"relora": "info"}),
        (
            {"relora": True, "jagged_restart_steps": 5},
            5,
            {"jagged_restart_steps": "info", "relora": "info"},
        ),
        ({"relora": False}, None, {"relora": "info"}),
        ({"relora": None, "jagged_restart_steps": None}, None, {}),
        ({"jagged_restart_steps": 5}, None, {"jagged_restart_steps": "error"}),
        (
            {"relora": False, "jagged_restart_steps": 5},
            None,
            {"jagged_restart_steps": "error", "relora": "info"},
        ),
        ({"relora": True}, None, {"relora": "error"}),
        ({"relora": False, "relora_steps": 5}, 5, {"relora": "error"}),
        ({"relora": "often", "relora_steps": 5}, 5, {"relora": "error"}),
        (
            {"relora": True, "relora_steps": 5, "jagged_restart_steps": 4},
            5,
            {"jagged_restart_steps": "error", "relora": "info"},
        ),
    ],
)
def test_relora_as_later_releases_write_it(
    given: dict[str, Any], steps: int | None, said: dict[str, str]
) -> None:
    config = load_config({**SMALL, "adapter": "lora", **given})
    assert config.as_dict()["relora_steps"] == steps
    assert {note.key: note.level for note in config.notes} == said


def test_both_names_are_one_option() -> None:
    options_read, finding = read({"eval_strategy": "epoch", "evaluation_strategy": "epoch"})
    assert options_read["evaluation_strategy"] == "epoch"
    assert finding.fix == (Edit("remove", "eval_strategy"),)
    _, finding = read({"eval_strategy": "no", "evaluation_strategy": "epoch"})
    assert (finding.level, finding.fix) == ("error", ())
    assert "say different things" in finding.message
    assert load_config({**SMALL, "eval_strategy": None, "evaluation_strategy": "no"}).notes == ()


@pytest.mark.parametrize("key", NO_EFFECT)
def test_a_key_without_effect_is_told_and_never_an_error(key: str) -> None:
    _, finding = read({key: 1})
    assert (finding.level, finding.rule, finding.key) == ("warning", "no-effect", key)
    assert finding.hint
    assert finding.fix == (Edit("remove", key),)
    assert load_config({**SMALL, key: None}).notes == ()


@pytest.mark.parametrize(("key", "instead"), REMOVED.items())
def test_a_removed_key_is_an_error_that_says_what_to_write(key: str, instead: str) -> None:
    _, finding = read({key: True})
    assert (finding.level, finding.hint) == ("error", instead)
    assert load_config({**SMALL, key: None}).notes == ()
    assert [f.key for f in examine(load_config({**SMALL, key: True})).errors] == [key]


@pytest.mark.parametrize(
    ("given", "steps", "says"),
    [
        ({"batch_size": 8, "micro_batch_size": 2}, 4, "gradient_accumulation_steps: 4"),
        ({"batch_size": "8", "micro_batch_size": "2"}, 4, "gradient_accumulation_steps: 4"),
        ({"batch_size": 4}, 4, "gradient_accumulation_steps: 4"),
        ({"batch_size": 7, "micro_batch_size": 2}, 3, "so a step has 6 samples"),
        ({"batch_size": 1, "micro_batch_size": 2}, 1, "so a step has 2 samples"),
        ({"batch_size": 4, "gradient_accumulation_steps": None}, 4, "steps: 4"),
    ],
)
def test_batch_size_counts_samples_of_a_step(given: dict[str, Any], steps: int, says: str) -> None:
    options_read, finding = read(given)
    assert options_read["gradient_accumulation_steps"] == steps
    assert (finding.level, finding.rule) == ("warning", "batch-size")
    assert says in finding.message
    assert finding.fix[-1] == Edit("set", "gradient_accumulation_steps", steps)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"batch_size": 4, "gradient_accumulation_steps": 4}, "exclude each other"),
        ({"batch_size": "many"}, "expected a whole number"),
        ({"batch_size": [4]}, "expected a whole number"),
        ({"batch_size": 0}, "expected a whole number"),
    ],
)
def test_a_batch_size_that_cannot_be_read_is_an_error(given: dict[str, Any], says: str) -> None:
    _, finding = read(given)
    assert finding.level == "error"
    assert says in finding.message
    assert load_config({**SMALL, "batch_size": None}).notes == ()


@pytest.mark.parametrize(
    ("given", "becomes", "fix"),
    [
        ({"tokens": {"pad_token": "<pad>"}}, {"pad_token": "<pad>"}, (Edit("rename", "tokens", "special_tokens"),)),
        (
            {"tokens": {"pad_token": "<a>", "bos_token": "<b>"}, "special_tokens": {"pad_token": "<p>"}},
            {"pad_token": "<p>", "bos_token": "<b>"},
            (Edit("remove", "tokens.pad_token"), Edit("rename", "tokens.bos_token", "special_tokens.bos_token")),
        ),
    ],
)  # fmt: skip
def test_tokens_as_a_mapping_were_meant_as_special_tokens(
    given: dict[str, Any], becomes: dict[str, str], fix: tuple[Edit, ...]
) -> None:
    options_read, finding = read(given)
    assert options_read["special_tokens"] == becomes
    assert options_read["tokens"] == []
    assert finding.fix == fix


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sharegpt:chat", "sharegpt"),
        ("sharegpt_simple", "sharegpt"),
        ("sharegpt_simple:load_role", "sharegpt:load_role"),
    ],
)
@pytest.mark.parametrize("key", ["datasets", "test_datasets"])
def test_a_renamed_dataset_type_is_read_by_its_present_name(key: str, old: str, new: str) -> None:
    options_read, finding = read(
        {key: [{"path": "a", "type": "alpaca"}, {"path": "b", "type": old}]}
    )
    assert [entry["type"] for entry in options_read[key]] == ["alpaca", new]
    assert finding.fix == (Edit("set", f"{key}.1.type", new),)
    assert load_config({**SMALL, "datasets": [{"path": "a", "type": new}]}).notes == ()


def test_the_class_that_phi_came_with_is_the_one_of_the_library() -> None:
    options_read, finding = read({"model_type": "MixFormerSequentialForCausalLM"})
    assert options_read["model_type"] == "PhiForCausalLM"
    assert finding.fix == (Edit("set", "model_type", "PhiForCausalLM"),)
    assert load_config({**SMALL, "model_type": "PhiForCausalLM"}).notes == ()


@pytest.mark.parametrize("name", ["cpu_offload", "offload_params", "fsdp_cpu_offload"])
def test_offloading_has_several_names(name: str) -> None:
    config = load_config({**SMALL, "fsdp_config": {name: True}}).distributed.fsdp_config
    assert config is not None
    assert config.fsdp_offload_params is True


def test_fsdp_is_turned_on_by_its_version_as_in_later_releases() -> None:
    options_read, finding = read({"fsdp_version": 2})
    assert options_read["fsdp"] == ["full_shard", "auto_wrap"]
    on = Edit("set", "fsdp", ["full_shard", "auto_wrap"])
    assert finding.fix == (on, Edit("remove", "fsdp_version"))
    options_read, finding = read({"fsdp_version": 2, "fsdp": ["shard_grad_op"]})
    assert options_read["fsdp"] == ["shard_grad_op"]
    assert finding.message == "fsdp_version has no effect: FSDP 2 is what runs"
    with pytest.raises(ConfigErrors, match="FSDP 2 is what runs"):
        load_config({**SMALL, "fsdp_version": 1})


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"fsdp_config": {"final_state_dict_type": "FULL_STATE_DICT"}}, "fsdp_config.final_state_dict_type"),
        ({"fsdp_config": {"fsdp_version": 2}}, "fsdp_config.fsdp_version"),
        ({"fsdp_final_state_dict_type": "FULL_STATE_DICT"}, "fsdp_final_state_dict_type"),
    ],
)  # fmt: skip
def test_what_fsdp_does_anyway_need_not_be_said(given: dict[str, Any], key: str) -> None:
    _, finding = read(given)
    assert finding.key == key
    assert "has no effect" in finding.message


def test_keys_of_fsdp_config_may_leave_out_the_prefix() -> None:
    given = {"fsdp_config": {"offload_params": True, "fsdp_state_dict_type": "FULL_STATE_DICT"}}
    config = load_config({**SMALL, **given}).distributed.fsdp_config
    assert config is not None
    assert (config.fsdp_offload_params, config.fsdp_state_dict_type) == (True, "FULL_STATE_DICT")
