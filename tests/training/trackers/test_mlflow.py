"""MLflow in its two forms on this machine, a folder and a database, and a server that is not there."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from axolotl.config.tracking import TrackingSection
from axolotl.errors import EnvironmentFault
from axolotl.training.trackers import TrackedRun
from axolotl.training.trackers._mlflow_place import shown, whole
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


def begin(tmp_path: Path, *, resumed: bool = False, **options: Any) -> str:
    """Follow a run from the current folder; its number."""
    tracker = opened(TrackingSection(use_mlflow=True, **options))
    assert tracker is not None
    tracker.check()
    tracker.start(run(tmp_path, resumed=resumed))
    tracker.finish("done")
    return json.loads((tmp_path / "out" / "trackers.json").read_text())["mlflow"]["run_id"]


@pytest.mark.parametrize("options", [{}, {"mlflow_tracking_uri": "file:./mlruns"}], ids=str)
def test_a_resume_from_another_folder_goes_on_with_the_run(
    tmp_path: Path,
    options: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    number = begin(tmp_path, **options)
    place = tmp_path / ("mlruns" if options else "mlflow.db")
    said = capsys.readouterr().err.replace("\n", "")
    assert f"mlflow: run {number} in " in said
    assert f"{place}" in said
    other = tmp_path / "elsewhere"
    other.mkdir()
    monkeypatch.chdir(other)
    assert begin(tmp_path, resumed=True, **options) == number
    assert f"{place}" in capsys.readouterr().err.replace("\n", "")
    assert not (other / "mlflow.db").exists()


def test_a_run_that_is_not_found_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options: dict[str, Any] = {"mlflow_tracking_uri": "file:./mlruns"}
    number = begin(tmp_path, **options)
    shutil.rmtree(tmp_path / "mlruns")
    other = tmp_path / "elsewhere"
    other.mkdir()
    monkeypatch.chdir(other)
    capsys.readouterr()
    assert begin(tmp_path, resumed=True, **options) != number
    said = " ".join(capsys.readouterr().err.split())
    assert "where this run was logged, is not there any more" in said
    assert f"the run {number} is not in " in said
    assert "a new one is begun" in said


@pytest.mark.parametrize(
    ("uri", "named"),
    [
        ("sqlite:///mlflow.db", "sqlite:///{here}/mlflow.db"),
        ("./my runs", "file://{here}/my%20runs"),
        ("http://me:secret@example.com", "http://me:***@example.com"),
        ("databricks://team", "databricks://team"),
    ],
)
def test_a_place_is_named_whole_and_without_a_password(
    uri: str, named: str, tmp_path: Path
) -> None:
    assert shown(whole(uri)) == named.format(here=tmp_path)
