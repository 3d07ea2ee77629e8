"""What is said of the data before the start."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from axolotl.config.load import load_config
from axolotl.data.prepare import prepare
from axolotl.training.run_data import PreparedData
from tests.conftest import build_tokenizer
from tests.data.conftest import alpaca_rows, json_lines

PLAN: Any = SimpleNamespace(rows=SimpleNamespace(packed=False, samples_per_row=2, grouped=False))


def said(rows: list[Any], **options: Any) -> dict[str, str]:
    Path("a.jsonl").write_bytes(json_lines(rows))
    entry = {"path": "a.jsonl", "type": "alpaca"}
    config = load_config({"base_model": "m", "datasets": [entry], "val_set_size": 2, **options})
    prepared = prepare(config, tokenizer=build_tokenizer())
    return dict(PreparedData(prepared).lines(PLAN))


def test_dropped_rows_are_counted_by_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = alpaca_rows(9)
    assert said(rows)["rows"] == "7 to train on, 2 held out"
    assert said(rows)["dropped"] == "none"
    empty = [{"instruction": f"{i}", "output": ""} for i in range(8)]
    bad = [{"instruction": 1, "output": "a"}, {"instruction": "a"}]
    found = said([*empty, *bad, rows[0], *rows], skip_bad_rows=2, dataset_exact_deduplication=True)
    assert found["dropped"] == (
        "8 no trained token, 2 cannot be used, 1 equal to another row to train on "
        "(`axolotl preprocess` names the rows)"
    )
    assert found["rows"] == "7 to train on, 2 held out"
    assert found["packing"] == "off: 2 samples a row, without padding"
