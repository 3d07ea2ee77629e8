"""What a proof is tried on: a tiny random model and packed rows of a few words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.flows.conftest import write_rows

Options = Callable[..., dict[str, Any]]


@pytest.fixture
def options(tmp_path: Path, tiny_model: Path) -> Options:
    """Options of a run on the tiny model; every call may change some."""

    def made(**changes: Any) -> dict[str, Any]:
        return {
            "base_model": str(tiny_model),
            "datasets": [{"path": str(write_rows(tmp_path / "rows.jsonl")), "type": "alpaca"}],
            "dataset_prepared_path": str(tmp_path / "store"),
            "val_set_size": 0,
            "sequence_len": 256,
            "sample_packing": True,
            "output_dir": str(tmp_path / "out"),
        } | changes

    return made
