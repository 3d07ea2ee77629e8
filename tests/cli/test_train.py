"""The closing table says what its figures were measured on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from axolotl import api
from axolotl.cli import train
from axolotl.records import RunResult

FIGURES = {"tokens_per_second": 1.0, "seconds": 1.0, "peak_memory_bytes": 1}


@pytest.mark.parametrize(
    ("more", "ends"),
    [
        ({}, "1.0000 on held-out rows"),
        ({"eval_loss_of": "another model"}, "1.0000 on held-out rows (of another model)"),
    ],
)
def test_the_held_out_loss_is_said_to_be_of_what_was_measured(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    more: dict[str, str],
    ends: str,
) -> None:
    def trained(_: Any) -> RunResult:
        return RunResult(tmp_path, 1, 2.0, 1.0, metrics={**FIGURES, **more})

    monkeypatch.setattr(api, "train", trained)
    seen: list[dict[str, str]] = []

    def printed(_: str, pairs: dict[str, str]) -> None:
        seen.append(pairs)

    monkeypatch.setattr("axolotl.core.console.print_pairs", printed)
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n')
    file = tmp_path / "f.yml"
    data = [{"path": str(tmp_path / "rows.jsonl"), "type": "completion"}]
    file.write_text(yaml.safe_dump({"base_model": str(tmp_path), "datasets": data}))
    answer = CliRunner().invoke(train.main, [str(file)], catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    assert seen[0]["loss"] == f"2.0000 in training, {ends}"
