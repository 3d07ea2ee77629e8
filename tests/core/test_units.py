"""Bytes are said in one unit everywhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import axolotl
from axolotl.core.units import bytes_in_words


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (1023, "1.0 kB"),
        (640_000_000, "640 MB"),
        (999_600_000, "1.00 GB"),
        (80 * 2**30, "85.9 GB"),
        (10**15, "1,000 TB"),
    ],
)
def test_bytes_in_words(count: int, words: str) -> None:
    assert bytes_in_words(count) == words


def test_nobody_else_puts_bytes_into_words() -> None:
    """A division by a power of ten or two in front of a unit is a second opinion."""
    own = re.compile(r"\{[^{}]*/ ?(1e[369]|2 ?\*\* ?[123]0|\(1 << [123]0\))[^{}]*\} ?[kKMGT]i?B")
    root = Path(axolotl.__file__).parent
    files = list(root.rglob("*.py"))
    assert len(files) > 300
    assert [str(f) for f in files if own.search(f.read_text("utf-8"))] == []
