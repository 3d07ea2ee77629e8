"""A base model with a trained adapter beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.artifacts.made import random_adapter
from tests.flows.conftest import write_rows


@pytest.fixture
def adapter(tiny_model: Path, tokenizer: Any, tmp_path: Path) -> Path:
    """A folder as a LoRA run on the tiny model leaves it."""
    from transformers import AutoModelForCausalLM

    folder = tmp_path / "out"
    random_adapter(AutoModelForCausalLM.from_pretrained(tiny_model), folder)
    tokenizer.save_pretrained(folder)
    (folder / "run.json").write_text('{"format": {"type": "alpaca"}, "interrupted": false}')
    return folder


@pytest.fixture
def options(tmp_path: Path, tiny_model: Path) -> Callable[..., dict[str, Any]]:
    """A configuration whose adapter is that of the fixture `adapter`."""

    def make(**changes: Any) -> dict[str, Any]:
        return {
            "base_model": str(tiny_model),
            "adapter": "lora",
            "datasets": [{"path": str(write_rows(tmp_path / "rows.jsonl")), "type": "alpaca"}],
            "dataset_prepared_path": str(tmp_path / "store"),
            "val_set_size": 8,
            "sequence_len": 256,
            "output_dir": str(tmp_path / "out"),
        } | changes

    return make
