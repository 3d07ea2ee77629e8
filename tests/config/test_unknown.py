"""A key that is no option is told from one of another level and from one of a later release."""

from __future__ import annotations

import pytest

from axolotl.config.later_names import INSTEAD, LATER
from axolotl.config.paths import general, paths
from axolotl.config.tree import Leaf
from axolotl.config.unknown import unknown_key
from axolotl.errors import ConfigError


def problem(path: str, value: str = "1") -> ConfigError | None:
    parent = general(path).rpartition(".")[0]
    known = [key.name for key in paths().values() if key.parent == parent]
    return unknown_key(path, Leaf(value, "f.yml:7", plain=True), known)


def hint(path: str) -> str:
    found = problem(path)
    assert found is not None
    assert (found.key, found.where) == (path, "f.yml:7")
    assert found.what == f"unknown key '{path}'"
    return found.hint or ""


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("learning_rte", "learning_rate"),
        ("Base-Model", "base_model"),
        ("dataset", "datasets"),
        ("token", "tokens"),
        ("lora_rank", "lora_r"),
        ("dropout", "lora_dropout"),  # the only name with that part
        ("datasets.0.pth", "datasets.0.path"),
        ("datasets.12.filed", "datasets.12.field"),
        ("special_tokens.pad", "special_tokens.pad_token"),
        ("fsdp_config.fsdp_offload_param", "fsdp_config.fsdp_offload_params"),
        ("datasets.1.sequence_length", "sequence_len"),  # like one of another level
        ("train_on_splt", "datasets.0.train_on_split"),
    ],
)
def test_a_misspelt_key_is_told_the_whole_path_of_the_nearest(written: str, meant: str) -> None:
    assert hint(written) == f"did you mean '{meant}'?"


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("path", "it belongs under 'datasets.0': did you mean 'datasets.0.path'?"),
        (
            "pad_token",
            "it belongs under 'special_tokens': did you mean 'special_tokens.pad_token'?",
        ),
        (
            "fsdp_offload_params",
            "it belongs under 'fsdp_config': did you mean 'fsdp_config.fsdp_offload_params'?",
        ),
        ("datasets.3.sequence_len", "it is no part of 'datasets.3': write it at the top level"),
        ("special_tokens.tokens", "it is no part of 'special_tokens': write it at the top level"),
    ],
)
def test_a_key_at_the_wrong_level_is_told_where_it_belongs(written: str, told: str) -> None:
    assert hint(written) == told


def test_a_key_that_is_like_none_is_told_what_there_is() -> None:
    assert hint("qwertyuiop") == "remove it, or see docs/options.md for all options"
    assert hint("special_tokens.qwertyuiop").startswith("'special_tokens' has: bos_token, ")


@pytest.mark.parametrize("written", ["use_kernels", "model_config", "overrides_of_model_config"])
def test_a_key_of_a_later_release_is_no_slip(written: str) -> None:
    found = problem(written)
    assert found is not None
    assert found.what == f"'{written}' is known since a later release, but not supported yet"
    assert found.hint == "remove it; what this version can do is in docs/options.md"


def test_a_key_of_a_later_release_names_what_does_the_same_here() -> None:
    found = problem("datasets.2.trust_remote_code")
    assert found is not None
    assert found.what.startswith("'datasets.2.trust_remote_code'")
    assert found.hint == "data sets that bring code are not loaded any more"


def test_a_later_key_that_is_misspelt_or_at_the_wrong_level_is_said_to_be_one() -> None:
    assert hint("use_kernls").startswith("the nearest name is 'use_kernels' of a later release")
    assert hint("input_transform").startswith("'datasets.input_transform' is known since a later")
    assert "'datasets.input_transform' of a later" in hint("datasets.0.input_transfrom")


def test_a_later_key_that_asks_for_nothing_is_no_problem() -> None:
    assert problem("use_kernels", "") is None
    assert problem("datasets.0.trust_remote_code", "false") is None
    assert problem("datasets.0.trust_remote_code", "true") is not None
    assert problem("use_kernls", "") is not None


def test_the_names_of_later_releases_are_names_that_are_not_supported() -> None:
    assert len(LATER) > 300
    assert [name for name in LATER if not name.replace(".", "_").isidentifier()] == []
    assert {*LATER} & {*paths()} == set()
    assert {*INSTEAD} <= {*LATER}
    replaced = [hint.split()[1] for hint in INSTEAD.values() if hint.count(" ") == 1]
    names = {key.name for key in paths().values()}
    assert {*replaced} <= names
