"""The worked examples in the docstrings hold."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["batch", "fill", "plan", "sampler", "shuffle"])
def test_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"axolotl.packing.{name}"))
    assert result.attempted > 0
    assert result.failed == 0
