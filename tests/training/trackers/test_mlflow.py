"""MLflow in its two forms on this machine, a folder and a database, and a server that is not there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from axolotl.config.tracking import TrackingSection
from axolotl.errors import EnvironmentFault
from axolotl.training.trackers import TrackedRun
from axolotl.training.trackers.mlflow import opened


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def run(tmp_path: Path, **changes: Any) -> TrackedRun:
    resolved = {"lora_r": 8, "adapter": None, "tokens": ["x" * 900]}
    made: dict[str, Any] = {"output_dir": tmp_path / "out", "given": {}, "plan": {}}
    return TrackedRun(**{**made, "resolved": resolved, **changes})


def test_by_default_it_is_the_database_of_mlflow_itself(tmp_path: Path) -> None:
    tracker = opened(TrackingSection(use_mlflow=True))
    assert tracker is not None
    before = dict(os.environ)
    tracker.check()
    tracker.start(run(tmp_path))
    tracker.log({"train/loss": 2.0}, step=1)
    tracker.finish("done")
    assert dict(os.environ) == before | {
        k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")
    }
    assert (tmp_path / "mlflow.db").is_file()


def test_parameters_tables_and_metrics(tmp_path: Path) -> None:
    place = f"file:{tmp_path / 'runs'}"
    tracker = opened(TrackingSection(use_mlflow=True, mlflow_tracking_uri=place))
    assert tracker is not None
    tracker.check()
    tracker.start(run(tmp_path))
    tracker.log_table("answers", ["prompt", "answer"], [["a", "b"], ["c", "d|e"]], step=4)
    number = json.loads((tmp_path / "out" / "trackers.json").read_text())["mlflow"]["run_id"]
    tracker.finish("done")
    folder = tmp_path / "runs" / "0" / number
    assert (folder / "params" / "lora_r").read_text() == "8"
    assert not (folder / "params" / "adapter").exists()
    cut = (folder / "params" / "tokens").read_text()
    assert len(cut) == 500
    assert cut.endswith("…")
    table = json.loads((folder / "artifacts" / "tables" / "answers-4.json").read_text())
    assert table == {"columns": ["prompt", "answer"], "data": [["a", "b"], ["c", "d|e"]]}


def test_a_run_that_is_gone_is_begun_anew(tmp_path: Path) -> None:
    place = f"file:{tmp_path / 'runs'}"
    tracker = opened(TrackingSection(use_mlflow=True, mlflow_tracking_uri=place))
    assert tracker is not None
    tracker.check()
    file = tmp_path / "out" / "trackers.json"
    file.parent.mkdir()
    file.write_text('{"mlflow": {"run_id": "gone"}}')
    tracker.start(run(tmp_path, resumed=True, lines=[{"step": 1, "loss": 2.0}]))
    tracker.finish("done")
    number = json.loads(file.read_text())["mlflow"]["run_id"]
    assert number != "gone"
    assert (tmp_path / "runs" / "0" / number / "metrics" / "train" / "loss").read_text()


def test_a_server_that_is_not_there() -> None:
    uri = "http://127.0.0.1:1"
    tracker = opened(TrackingSection(use_mlflow=True, mlflow_tracking_uri=uri))
    assert tracker is not None
    with pytest.raises(EnvironmentFault, match=r"127.0.0.1:1 is not reached: Connection refused"):
        tracker.check()
    tracker.finish("failed")
