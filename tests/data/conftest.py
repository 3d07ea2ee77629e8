"""Rows and files for the tests of reading and preparing data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from axolotl.config.data import DataSection
from axolotl.config.sequence import SequenceSection
from axolotl.data.prepare import Prepared, prepare

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
        data = {"val_set_size", "train_on_inputs", "dataset_prepared_path", "dataset_processes"}
        data |= {"dataset_shard_num", "dataset_shard_idx"}
        given = {k: v for k, v in options.items() if k in data}
        length = options.get("sequence_len", 2048)
        return prepare(
            DataSection.model_validate({"datasets": entries, **given}),
            SequenceSection.model_validate({"sequence_len": length}),
            seed=options.get("seed", 42),
            tokenizer=options.get("tokenizer", tokenizer),
            hub_token=options.get("hub_token"),
        )

    return run_prepare
