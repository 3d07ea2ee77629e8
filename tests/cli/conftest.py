"""Rows and a configuration for the commands that prepare data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROWS = [{"instruction": f"Name {i} colours.", "output": f"Red and {i} more."} for i in range(8)]


@pytest.fixture
def rows_config(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), "utf-8")
    lines = [f"base_model: {tiny_model}", "datasets:", "  - path: rows.jsonl", "    type: alpaca"]
    lines += ["sequence_len: 512", "val_set_size: 2"]
    Path("a.yml").write_text("\n".join(lines), "utf-8")
    return "a.yml"
