"""A whole training on a tiny random model and a few rows, in a second or two."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

COLOURS = ["red", "green", "blue", "yellow", "black", "white", "brown"]


def write_rows(file: Path, count: int = 48) -> Path:
    """Alpaca rows of very different lengths."""
    with file.open("w", encoding="utf-8") as out:
        for i in range(count):
            words = " ".join(COLOURS[(i * k) % 7] for k in range(1, 2 + i % 9))
            row = {"instruction": f"Colour {i}?", "input": "", "output": words}
            out.write(json.dumps(row) + "\n")
    return file


@pytest.fixture
def tiny_options(tmp_path: Path, tiny_model: Path) -> Callable[..., dict[str, Any]]:
    """Options of a run on the tiny model; every call may change some."""

    def options(**changes: Any) -> dict[str, Any]:
        return {
            "base_model": str(tiny_model),
            "datasets": [{"path": str(write_rows(tmp_path / "rows.jsonl")), "type": "alpaca"}],
            "dataset_prepared_path": str(tmp_path / "store"),
            "val_set_size": 8,
            "sequence_len": 256,
            "sample_packing": True,
            "micro_batch_size": 2,
            "num_epochs": 2,
            "learning_rate": 1e-3,
            "output_dir": str(tmp_path / "out"),
            "logging_steps": 1,
        } | changes

    return options
