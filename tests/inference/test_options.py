"""How an answer is chosen, and what cannot be asked for."""

from __future__ import annotations

import pytest

from axolotl.errors import ConfigError
from axolotl.inference.options import GenerationOptions


def test_temperature_zero_is_greedy_and_without_penalty() -> None:
    how = GenerationOptions(temperature=0).for_library(eos=[2, 5], pad=0, max_new_tokens=7)
    assert (how.do_sample, how.repetition_penalty, how.use_cache) == (False, 1.0, True)
    assert (how.eos_token_id, how.max_new_tokens) == ([2, 5], 7)
    penalised = GenerationOptions(temperature=0, repetition_penalty=1.3)
    assert penalised.for_library(eos=[], pad=0, max_new_tokens=7).repetition_penalty == 1.3


def test_sampling_uses_every_option() -> None:
    options = GenerationOptions(temperature=0.5, top_p=0.7, top_k=3)
    how = options.for_library(eos=[2], pad=0, max_new_tokens=7)
    assert (how.do_sample, how.temperature, how.top_p, how.top_k) == (True, 0.5, 0.7, 3)
    assert how.repetition_penalty == 1.1


def test_whole_numbers_do_as_well() -> None:
    how = GenerationOptions(temperature=2, top_p=1, repetition_penalty=3)
    library = how.for_library(eos=[2], pad=0, max_new_tokens=7)
    numbers = (library.temperature, library.top_p, library.repetition_penalty)
    assert all(isinstance(number, float) for number in numbers)  # the library refuses others


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
    ],
)
def test_a_value_that_cannot_be_is_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be"):
        GenerationOptions.of(**{name: value})


def test_an_unknown_option_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean temperature"):
        GenerationOptions.of(temprature=1)
