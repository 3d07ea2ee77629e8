"""Rows and files for the tests of reading and preparing data."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from axolotl.config import Config
from axolotl.config.load import load_config
from axolotl.data.prepare import Prepared, prepare
from axolotl.data.rows import RowChunk
from axolotl.errors import DataError

Prepare = Callable[..., Prepared]


def alpaca_rows(count: int = 20) -> list[dict[str, str]]:
    """Rows of different lengths; every third has an input."""
    return [
        {
            "instruction": f"Name {i} colours." + " Please." * (i % 4),
            "input": "They must be warm." if i % 3 == 0 else "",
            "output": f"Red and {i} others.",
        }
        for i in range(count)
    ]


def json_lines(rows: list[Any]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def rows_in(chunks: Iterable[RowChunk]) -> list[dict[str, Any]]:
    """The rows of chunks; all could be read."""
    rows = [row for chunk in chunks for row in chunk.rows]
    assert not any(isinstance(row, DataError) for row in rows)
    return [row for row in rows if not isinstance(row, DataError)]


def file_of(*entries: dict[str, Any], **options: Any) -> Config:
    """A configuration with these data sets."""
    return load_config({"base_model": "a-model", "datasets": list(entries), **options})


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, bytes], str]:
    """Write a file into the current folder and give its name."""
    monkeypatch.chdir(tmp_path)

    def write_file(name: str, content: bytes) -> str:
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return name

    return write_file


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokenizer: Any) -> Prepare:
    """Prepare entries given as mappings, with the tiny tokenizer and a store in the test's folder."""
    monkeypatch.chdir(tmp_path)

    def run_prepare(*entries: dict[str, Any], **options: Any) -> Prepared:
        used = options.pop("tokenizer", tokenizer)
        return prepare(file_of(*entries, **options), tokenizer=used)

    return run_prepare
