"""How an answer is chosen, and what cannot be asked for."""

from __future__ import annotations

from typing import Any

import pytest

from axolotl.errors import ConfigError
from axolotl.inference.options import GenerationOptions


def test_temperature_zero_is_greedy_and_without_penalty() -> None:
    how = GenerationOptions(temperature=0).for_library(eos=[2, 5], pad=0, max_new_tokens=7)
    assert (how.do_sample, how.use_cache) == (False, True)
    assert (how.eos_token_id, how.max_new_tokens) == ([2, 5], 7)
    assert GenerationOptions(temperature=0).penalty == 1
    assert GenerationOptions(temperature=0, repetition_penalty=1.3).penalty == 1.3


def test_tokens_are_drawn_here_and_not_by_the_library() -> None:
    how = GenerationOptions(temperature=2).for_library(eos=[2], pad=0, max_new_tokens=7)
    assert how.do_sample is False
    assert how.repetition_penalty in (None, 1), "nor does the library see to the penalty"
    assert GenerationOptions(temperature=2).penalty == 1.1


def test_a_stop_text_may_stand_alone() -> None:
    assert GenerationOptions.of(stop="END").stop == ("END",)
    assert GenerationOptions.of(stop=["END", "Q:"]).stop == ("END", "Q:")


def test_none_stands_for_the_default() -> None:
    assert GenerationOptions.of(temperature=None, top_k=5) == GenerationOptions(top_k=5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_new_tokens", 0),
        ("temperature", -0.1),
        ("top_p", 0.0),
        ("top_p", 1.5),
        ("top_k", -1),
        ("repetition_penalty", -1.0),
        ("repetition_penalty", 0.0),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("min_p", 1.0),
        ("min_p", -0.1),
        ("stop", [""]),
    ],
)
def test_a_value_that_cannot_be_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be"):
        GenerationOptions.of(**{name: value})


def test_an_unknown_option_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean temperature"):
        GenerationOptions.of(temprature=1)
