"""The nearest name is the one that was meant, or none; plug-ins are the files that there are."""

from __future__ import annotations

import string
from collections.abc import Iterator
from types import ModuleType

import pytest

from axolotl import registry
from axolotl.config.paths import paths
from axolotl.errors import UnknownName

LEVELS = ["", "datasets", "special_tokens", "fsdp_config"]


def level(parent: str) -> list[str]:
    """The names of all keys that stand directly under `parent`."""
    return [key.name for key in paths().values() if key.parent == parent]


def slips(name: str) -> Iterator[str]:
    """Every way to type `name` with one letter missing, doubled, swapped or mistaken."""
    for at in range(len(name)):
        yield name[:at] + name[at + 1 :]
        yield name[: at + 1] + name[at:]
        if at:
            yield name[: at - 1] + name[at] + name[at - 1] + name[at + 1 :]
        for letter in string.ascii_lowercase:
            yield name[:at] + letter + name[at + 1 :]


@pytest.mark.parametrize("parent", LEVELS)
def test_at_least_97_of_100_slips_lead_back_to_the_name(parent: str) -> None:
    names = level(parent)
    assert len(names) >= 7
    cases = [(slip, name) for name in names for slip in sorted({*slips(name)} - {*names})]
    wrong = [(slip, name) for slip, name in cases if registry.nearest(slip, names) != name]
    rate = 1 - len(wrong) / len(cases)
    assert rate >= 0.97, f"right in {rate:.2%} of {len(cases)}; wrong for {wrong[:20]}"


@pytest.mark.parametrize(
    "gibberish", ["", "x", "zzzz", "xyzzy", "qwertyuiop", "lorem_ipsum", "banana", "a" * 1000]
)
def test_what_is_like_no_name_gets_no_guess(gibberish: str) -> None:
    assert registry.nearest(gibberish, level("")) is None


@pytest.mark.parametrize(
    ("written", "known", "meant"),
    [
        ("Learning-Rate", ["learning_rate"], "learning_rate"),
        ("merge_lora", ["merge-lora"], "merge-lora"),
        ("ALPACA", ["completion", "alpaca"], "alpaca"),
        ("lora_rank", ["local_rank", "lora_r"], "lora_r"),  # it only goes on
        ("adam_beta3", ["adam_beta1", "adam_beta2"], "adam_beta1"),  # the first of equals
        ("log_min_lx", ["lag_min_lr", "log_min_lr"], "log_min_lr"),  # fewest errors
        ("xab", ["yab", "xac"], "xac"),  # begins alike
        ("axbc", ["aybd", "azbc"], "azbc"),  # ends alike
        ("fomr", ["form", "foxy"], "form"),  # a swap is one error
    ],
)
def test_the_likeliest_of_several_names(written: str, known: list[str], meant: str) -> None:
    assert registry.nearest(written, known) == meant


def test_the_cutoff_is_the_share_that_must_be_right() -> None:
    assert registry.nearest("alpxxx", ["alpaca"], cutoff=0.5) == "alpaca"
    assert registry.nearest("alpxxx", ["alpaca"]) is None
    assert registry.nearest("alpac", ["alpaca"], cutoff=1) is None
    assert registry.nearest("alpaca", iter(["alpaca"]), cutoff=1) == "alpaca"


def test_an_unknown_plug_in_names_the_nearest_and_all_there_are() -> None:
    with pytest.raises(UnknownName, match="there is no schedule 'consine'") as caught:
        registry.load("axolotl.schedules", "consine", where="f.yml:3")
    assert caught.value.where == "f.yml:3"
    assert (caught.value.hint or "").startswith("did you mean 'cosine'? Available: constant, ")


def test_an_import_error_in_a_plug_in_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> ModuleType:
        raise ImportError(f"{name} needs something")

    assert "cosine" in registry.available("axolotl.schedules")
    monkeypatch.setattr(registry.importlib, "import_module", refuse)
    with pytest.raises(ImportError, match="needs something"):
        registry.load("axolotl.schedules", "cosine")
