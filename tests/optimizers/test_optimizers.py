"""What is known of optimizers is the same as what the libraries and the schema know."""

from __future__ import annotations

import doctest
import inspect
from typing import Any

import pytest
from transformers.training_args import OptimizerNames

from axolotl import optimizers, registry
from axolotl.config import options
from axolotl.config.section import facts
from axolotl.errors import ConfigErrors, UnknownName
from axolotl.resolve.machine import OPTIONAL_PACKAGES

OF_THE_README = [
    "adamw_hf",
    "adamw_torch",
    "adamw_torch_fused",
    "adamw_torch_xla",
    "adamw_apex_fused",
    "adafactor",
    "adamw_anyprecision",
    "sgd",
    "adagrad",
    "adamw_bnb_8bit",
    "lion_8bit",
    "lion_32bit",
    "paged_adamw_32bit",
    "paged_adamw_8bit",
    "paged_lion_32bit",
    "paged_lion_8bit",
]


def test_every_name_of_the_library_is_known() -> None:
    assert {kind.value for kind in OptimizerNames} <= set(optimizers.all_facts())


@pytest.mark.parametrize("name", OF_THE_README)
def test_every_old_name_trains_or_is_refused_for_a_reason(name: str) -> None:
    assert bool(optimizers.facts_of(name).refused) == (name == "adamw_torch_xla")


def test_the_schema_lists_what_trains() -> None:
    choices = facts(options()["optimizer"]).get("choices", [])
    assert sorted(choices) == sorted([*optimizers.names(), *optimizers.OLD_OPTIMIZERS])


def test_rules_know_of_every_package() -> None:
    assert set(optimizers.packages()) - {""} <= set(OPTIONAL_PACKAGES)
    assert all(f.extra for f in optimizers.all_facts().values() if f.package)


def test_every_family_has_a_builder() -> None:
    used = {f.family for f in optimizers.all_facts().values() if not f.refused}
    assert used == set(registry.available("axolotl.training.optimizers"))


@pytest.mark.parametrize("name", optimizers.all_facts())
def test_a_refused_one_names_one_that_trains(name: str) -> None:
    found = optimizers.facts_of(name)
    assert found.instead.removeprefix("optimizer: ") in optimizers.names()


def test_what_runs_here_and_why_the_others_do_not() -> None:
    here = optimizers.available()
    assert here["adamw_torch"] is None
    assert "during the backward pass" in str(here["lomo"])
    missing = optimizers.why_not("lion_8bit", missing=["bitsandbytes"])
    assert missing == "it needs the package 'bitsandbytes', which is not installed"


def test_a_name_that_is_none_is_told_the_nearest() -> None:
    with pytest.raises(UnknownName, match="no optimizer 'adamw_bnb_8bits'") as caught:
        optimizers.facts_of("adamw_bnb_8bits")
    assert "did you mean 'adamw_bnb_8bit'?" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("lion", "did you mean 'lion_32bit' or 'lion_8bit'? "),
        ("paged_lion", "did you mean 'paged_lion_32bit' or 'paged_lion_8bit'? "),
        ("adalom", "Available: "),
        ("adamw_torch_xl", "did you mean 'adamw_torch'? "),
    ],
)
def test_what_is_refused_is_no_hint(written: str, hint: str) -> None:
    with pytest.raises(UnknownName, match=f"no optimizer '{written}'") as caught:
        optimizers.facts_of(written)
    assert str(caught.value.hint).startswith(hint)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("galore_adamw", "rank=64, proj_type=left", {"rank": 64, "proj_type": "left"}),
        ("galore_adamw", {"scale": 1}, {"scale": 1.0}),
        ("sgd", "momentum=0.9,nesterov=true", {"momentum": 0.9, "nesterov": True}),
        ("adamw_torch", None, {}),
        ("adamw_torch", "", {}),
    ],
)
def test_options_are_text_or_a_mapping(name: str, given: Any, expected: dict[str, Any]) -> None:
    filled = optimizers.fill_options(name, given).model_dump(exclude_unset=True)
    assert filled == expected


@pytest.mark.parametrize(
    ("name", "given", "key", "text"),
    [
        ("galore_adamw", {"rnk": 3}, "optim_args.rnk", "did you mean 'rank'"),
        ("adamw_torch", {"rank": 3}, "optim_args.rank", "it has none besides"),
        ("adamw_torch", {"beta1": 0.5}, "optim_args.beta1", "write `adam_beta1: …`"),
        ("sgd", {"weight_decay": 0.5}, "optim_args.weight_decay", "write `weight_decay: …`"),
        ("sgd", {"nesterov": True}, "optim_args", "nesterov needs momentum"),
        ("galore_adamw", "rank", "optim_args", "not of the form name=value"),
        ("galore_adamw", {"rank": 0}, "optim_args.rank", "got 0"),
    ],
)
def test_what_is_wrong_with_options(name: str, given: Any, key: str, text: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        optimizers.fill_options(name, given)
    (problem,) = caught.value.problems
    assert problem.key == key
    assert text in f"{problem.what} {problem.hint}"


def test_facts_are_read_without_heavy_libraries() -> None:
    for family in registry.available("axolotl.optimizers"):
        source = inspect.getsource(registry.load("axolotl.optimizers", family))
        assert "torch" not in {line.partition("import ")[2] for line in source.splitlines()}


def test_examples() -> None:
    result = doctest.testmod(optimizers)
    assert result.attempted > 0
    assert result.failed == 0
