"""Runs that are followed: what each tracker's own package reads back of a training."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from axolotl import api
from axolotl.training.callbacks.metrics import MEASURED, read_metrics
from axolotl.training.trackers._run import tracked
from axolotl.training.trackers._wandb_file import records

Options = Callable[..., dict[str, Any]]
Curves = dict[str, list[tuple[int, float]]]
WANDB: dict[str, Any] = {"wandb_project": "colours", "wandb_mode": "offline"}
TENSORBOARD: dict[str, Any] = {"use_tensorboard": True}


def mlflow_options(tmp_path: Path) -> dict[str, Any]:
    return {"use_mlflow": True, "mlflow_tracking_uri": f"file:{tmp_path / 'mlruns'}"}


@pytest.fixture(scope="module", autouse=True)
def _no_service_left() -> Iterator[None]:
    """The process that wandb begins for all runs of this one."""
    yield
    import wandb

    wandb.teardown()


@pytest.fixture(autouse=True)
def _nobody_is_logged_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("WANDB_", "MLFLOW_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def wandb_folders(output: Path) -> list[Path]:
    return sorted((output / "wandb").glob("offline-run-*"))


def wandb_records(output: Path, kind: str) -> list[Any]:
    """All records of a kind of all offline runs, in their order."""
    return [
        getattr(record, kind)
        for folder in wandb_folders(output)
        for record in _whole(folder)
        if record.WhichOneof("record_type") == kind
    ]


def _whole(folder: Path) -> list[Any]:
    """The records of a run that has ended; its process writes the last ones a moment later."""
    found: list[Any] = []
    for _ in range(200):
        found = [record for file in folder.glob("run-*.wandb") for record in records(file)]
        if found and found[-1].WhichOneof("record_type") == "exit":
            break
        time.sleep(0.05)
    return found


def wandb_curves(output: Path) -> Curves:
    found: Curves = {}
    for line in wandb_records(output, "history"):
        for item in line.item:
            name = item.nested_key[0]
            if len(item.nested_key) == 1 and not name.startswith("_"):
                found.setdefault(name, []).append((line.step.num, json.loads(item.value_json)))
    return found


def tensorboard_curves(output: Path) -> Curves:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        (folder,) = (output / "runs").iterdir()
        events = EventAccumulator(str(folder)).Reload()
    return {
        name: [(event.step, event.value) for event in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }


def mlflow_run(tmp_path: Path) -> tuple[Any, Any]:
    """The client, and the only run that it finds."""
    from mlflow import MlflowClient

    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        client = MlflowClient(tracking_uri=f"file:{tmp_path / 'mlruns'}")
        (run,) = [
            run
            for experiment in client.search_experiments()
            for run in client.search_runs([experiment.experiment_id])
        ]
    del os.environ["MLFLOW_ALLOW_FILE_STORE"]
    return client, run


def mlflow_curves(tmp_path: Path) -> Curves:
    client, run = mlflow_run(tmp_path)
    return {
        name: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, name)]
        for name in run.data.metrics
    }


def file_curves(output: Path) -> Curves:
    """What `metrics.jsonl` has, by the names of trackers."""
    found: Curves = {}
    for line in read_metrics(output / "metrics.jsonl"):
        for name, value in tracked(line).items():
            found.setdefault(name, []).append((line["step"], value))
    return found


def assert_same_curves(found: Curves, expected: Curves) -> None:
    assert found.keys() == expected.keys()
    for name, points in expected.items():
        assert [step for step, _ in found[name]] == [step for step, _ in points], name
        if (
            name.removeprefix("train/") not in MEASURED
        ):  # of a resumed run: those of the run that logged it
            assert found[name] == [(s, pytest.approx(v, rel=1e-6)) for s, v in points], name


def test_all_trackers_have_the_numbers_of_metrics_jsonl(
    tiny_options: Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`wandb_project`, `wandb_mode: offline`, `use_tensorboard`, `use_mlflow` together."""
    before = dict(os.environ)
    output = api.train(tiny_options(**WANDB, **TENSORBOARD, **mlflow_options(tmp_path))).output_dir
    expected = file_curves(output)
    assert {"train/loss", "train/learning_rate", "train/grad_norm", "eval/loss"} <= {*expected}
    assert_same_curves(wandb_curves(output), expected)
    assert_same_curves(tensorboard_curves(output), expected)
    assert_same_curves(mlflow_curves(tmp_path), expected)
    assert dict(os.environ) == before
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("wandb:")]
    assert said == [f"wandb: offline; send it with: wandb sync {wandb_folders(output)[0]}"]
    assert {"train/memory_bytes", "train/tokens_per_second"} <= {*expected}


def test_an_offline_run_holds_configuration_artifact_and_table(
    tiny_options: Options,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`wandb_entity`, `wandb_run_id`, `wandb_name`, `wandb_watch` and `wandb_log_model`, too."""
    from axolotl.training.callbacks.metrics import MetricsFile

    own = MetricsFile.on_log

    def on_log(self: MetricsFile, args: Any, state: Any, control: Any, **more: Any) -> None:
        own(self, args, state, control, **more)
        if state.global_step == 2:
            self.trackers.log_table("answers", ["prompt", "number"], [["a", 1], ["b", 2.5]], step=2)

    monkeypatch.setattr(MetricsFile, "on_log", on_log)
    options = tiny_options(
        **WANDB,
        wandb_entity="team",
        wandb_run_id="first-try",
        wandb_name="First try",
        wandb_watch="all",
        wandb_log_model="checkpoint",
        save_steps=2,
        max_steps=4,
    )
    output = api.train(options).output_dir
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("a copy of each checkpoint") == 1
    staging = output / "wandb" / "artifacts" / "staging"
    copied = sum(file.stat().st_size for file in staging.rglob("*") if file.is_file())
    size = re.search(r"each checkpoint, ([\d.]+) (kB|MB)", said)
    assert size is not None
    one = float(size[1]) * (1e3 if size[2] == "kB" else 1e6)
    assert 2 * one < copied < 4 * one
    (run,) = wandb_records(output, "run")
    assert (run.run_id, run.display_name) == ("first-try", "First try")
    assert (run.project, run.entity) == ("colours", "team")
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert config["learning_rate"] == 1e-3
    assert config["lr_scheduler"] == "cosine"
    assert config["plan"]["steps"] == 4

    artifacts = wandb_records(output, "artifact")
    names = [artifact.name for artifact in artifacts]
    assert names[0] == "axolotl-config"
    assert names.count("model-first-try") == 3
    files = {c.path: Path(c.local_path) for c in artifacts[0].manifest.contents}
    assert {*files} == {"given.yml", "resolved.yml"}
    assert all(file.is_relative_to(output / "wandb") for file in files.values())
    assert yaml.safe_load(files["given.yml"].read_text()) == options
    assert yaml.safe_load(files["resolved.yml"].read_text())["lr_scheduler"] == "cosine"
    models = [a for a in artifacts if a.name == "model-first-try"]
    assert [sorted(a.aliases) for a in models] == [
        ["latest", "step-2"],
        ["latest", "step-4"],
        ["latest", "result"],
    ]
    assert "model.safetensors" in {content.path for content in models[-1].manifest.contents}

    (table,) = (wandb_folders(output)[0] / "files" / "media" / "table").glob("answers_2_*.json")
    content = json.loads(table.read_text())
    assert content["columns"] == ["prompt", "number"]
    assert content["data"] == [["a", 1], ["b", 2.5]]
    curves = {i.nested_key[0] for line in wandb_records(output, "history") for i in line.item}
    assert "gradients/model.layers.0.self_attn.q_proj.weight" in curves
    assert "parameters/model.layers.0.self_attn.q_proj.weight" in curves
    (end,) = wandb_records(output, "exit")
    assert end.exit_code == 0


def test_predictions_are_a_table_at_each_evaluation(tiny_options: Options) -> None:
    from axolotl.training.callbacks.eval_table import COLUMNS, TABLE

    options = tiny_options(**WANDB, eval_table_size=2, eval_table_max_new_tokens=3)
    output = api.train(options).output_dir
    tables = [
        (line.step.num, item) for line in wandb_records(output, "history") for item in line.item
    ]
    steps = {step for step, item in tables if item.nested_key[0] == TABLE}
    assert steps == {step for step, _ in file_curves(output)["eval/loss"]}
    files = [*(wandb_folders(output)[0] / "files" / "media" / "table").iterdir()]
    assert len(files) == len(steps) == 2
    for file in files:
        content = json.loads(file.read_text())
        assert content["columns"] == [*COLUMNS]
        assert content["data"]


@pytest.mark.parametrize(
    ("watch", "groups"),
    [("gradients", {"gradients"}), ("parameters", {"parameters"}), ("false", set())],
)
def test_wandb_watch_says_what_is_looked_at(
    watch: str, groups: set[str], tiny_options: Options
) -> None:
    output = api.train(tiny_options(**WANDB, wandb_watch=watch, max_steps=1)).output_dir
    names = {i.nested_key[0] for line in wandb_records(output, "history") for i in line.item}
    found = {name.partition("/")[0] for name in names if not name.startswith("_")}
    assert found - {"train", "eval"} == groups


def test_wandb_log_model_end_takes_the_result_alone(tiny_options: Options) -> None:
    output = api.train(tiny_options(**WANDB, wandb_log_model="end", max_steps=1)).output_dir
    artifacts = wandb_records(output, "artifact")
    aliases = [sorted(a.aliases) for a in artifacts if a.type == "model"]
    assert aliases == [["latest", "result"]]


def test_wandb_mode_disabled_wins(tiny_options: Options) -> None:
    output = api.train(tiny_options(**{**WANDB, "wandb_mode": "disabled"}, max_steps=1)).output_dir
    assert not (output / "wandb").exists()
    assert "wandb" not in json.dumps([*os.environ]).lower()


def test_mlflow_options_name_experiment_and_run(tiny_options: Options, tmp_path: Path) -> None:
    """`mlflow_tracking_uri`, `mlflow_experiment_name`, `mlflow_run_name`, `hf_mlflow_log_artifacts`."""
    options = tiny_options(
        **mlflow_options(tmp_path),
        mlflow_experiment_name="colours",
        mlflow_run_name="first try",
        hf_mlflow_log_artifacts=True,
        save_steps=1,
        max_steps=2,
    )
    api.train(options)
    client, run = mlflow_run(tmp_path)
    assert client.get_experiment(run.info.experiment_id).name == "colours"
    assert (run.info.run_name, run.info.status) == ("first try", "FINISHED")
    assert run.data.params["learning_rate"] == "0.001"
    assert run.data.params["sequence_len"] == "256"
    artifacts = tmp_path / "mlruns" / run.info.experiment_id / run.info.run_id / "artifacts"
    assert yaml.safe_load((artifacts / "config" / "given.yml").read_text()) == options
    assert {f.name for f in (artifacts / "checkpoints").iterdir()} == {
        "checkpoint-1",
        "checkpoint-2",
    }
    assert (artifacts / "result" / "model.safetensors").is_file()


def test_a_resumed_run_goes_on_in_each_tracker_and_logs_no_step_twice(
    tiny_options: Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = tiny_options(
        **WANDB, **TENSORBOARD, **mlflow_options(tmp_path), save_steps=2, num_epochs=2
    )
    output = api.train(options).output_dir
    whole, before = file_curves(output), json.loads((output / "trackers.json").read_text())
    # As if the run had been killed after the sixth step, two steps behind a checkpoint.
    for step in (6, 8, 10):
        shutil.rmtree(output / f"checkpoint-{step}", ignore_errors=True)
    api.train({**options, "auto_resume_from_checkpoints": True})
    after = json.loads((output / "trackers.json").read_text())
    assert after["wandb"]["id"] == before["wandb"]["id"]
    assert after["mlflow"] == before["mlflow"]
    assert after["tensorboard"] == before["tensorboard"]
    assert len(wandb_folders(output)) == 2
    both = " ".join(map(str, wandb_folders(output)))
    assert f"wandb sync {both}\n" in capsys.readouterr().err
    assert_same_curves(wandb_curves(output), whole)
    assert_same_curves(mlflow_curves(tmp_path), whole)
    assert_same_curves(tensorboard_curves(output), whole)


def test_lines_that_a_killed_run_did_not_send_are_sent_by_its_resume(
    tiny_options: Options, tmp_path: Path
) -> None:
    """A tracker that was not there before gets the whole run."""
    options = tiny_options(save_steps=2, num_epochs=2)
    output = api.train(options).output_dir
    for step in (6, 8, 10):
        shutil.rmtree(output / f"checkpoint-{step}", ignore_errors=True)
    followed = {**options, **WANDB, **TENSORBOARD, **mlflow_options(tmp_path)}
    api.train({**followed, "auto_resume_from_checkpoints": True})
    whole = file_curves(output)
    assert whole["train/loss"][0][0] == 1
    assert_same_curves(wandb_curves(output), whole)
    assert_same_curves(mlflow_curves(tmp_path), whole)
    assert_same_curves(tensorboard_curves(output), whole)


def _failing(error: BaseException) -> Callable[..., None]:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "exit_code", "status"),
    [(ValueError("broken"), 1, "FAILED"), (KeyboardInterrupt(), 255, "KILLED")],
    ids=["failed", "interrupted"],
)
def test_how_a_run_ends_is_told(
    error: BaseException,
    exit_code: int,
    status: str,
    tiny_options: Options,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from axolotl.training.trainer import PackedTrainer

    monkeypatch.setattr(PackedTrainer, "evaluate", _failing(error))
    options = tiny_options(**WANDB, **mlflow_options(tmp_path))
    with pytest.raises(type(error)):
        api.train(options)
    (end,) = wandb_records(Path(options["output_dir"]), "exit")
    assert end.exit_code == exit_code
    assert mlflow_run(tmp_path)[1].info.status == status


def test_a_run_that_is_stopped_and_saved_counts_as_interrupted(
    tiny_options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from axolotl.training.callbacks.interrupt import StopOnSignal

    own = StopOnSignal.on_step_end

    def on_step_end(self: StopOnSignal, args: Any, state: Any, control: Any, **more: Any) -> None:
        if state.global_step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        own(self, args, state, control, **more)

    monkeypatch.setattr(StopOnSignal, "on_step_end", on_step_end)
    options = tiny_options(**WANDB, **mlflow_options(tmp_path))
    assert api.train(options).interrupted
    (end,) = wandb_records(Path(options["output_dir"]), "exit")
    assert end.exit_code == 255
    assert mlflow_run(tmp_path)[1].info.status == "KILLED"


def test_a_tracker_that_fails_in_between_does_not_end_the_training(
    tiny_options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    from mlflow import MlflowClient
    from torch.utils.tensorboard import SummaryWriter

    full = OSError(28, "No space left on device")
    monkeypatch.setattr(SummaryWriter, "add_scalar", _failing(full))
    monkeypatch.setattr(MlflowClient, "log_batch", _gone_after_the_parameters(MlflowClient))
    followed = {**WANDB, **TENSORBOARD, **mlflow_options(tmp_path)}
    result = api.train(tiny_options(**followed))
    assert result.steps == len(file_curves(result.output_dir)["train/loss"])
    assert_same_curves(wandb_curves(result.output_dir), file_curves(result.output_dir))
    said = capsys.readouterr().err
    assert said.count("nothing more is logged there") == 2
    assert "tensorboard: nothing more is logged there: OSError: [Errno 28] No space left" in said
    assert "mlflow: nothing more is logged there: ConnectionError: the server is gone" in said


def _gone_after_the_parameters(client: Any) -> Callable[..., None]:
    own = client.log_batch

    def log_batch(self: Any, run_id: str, metrics: Any = (), **more: Any) -> None:
        if metrics:
            raise ConnectionError("the server is gone")
        own(self, run_id, **more)

    return log_batch


def test_weights_and_numbers_are_the_same_with_trackers(
    tiny_options: Options, tmp_path: Path
) -> None:
    """To be followed changes no bit of a training."""

    def bits(name: str, **more: Mapping[str, Any]) -> tuple[bytes, Curves]:
        output = tmp_path / name
        api.train(tiny_options(**more, output_dir=str(output), max_steps=3))
        curves = file_curves(output)
        for name in MEASURED:
            curves.pop(f"train/{name}", None)
        return (output / "model.safetensors").read_bytes(), curves

    followed = {**WANDB, "wandb_watch": "all", **TENSORBOARD, **mlflow_options(tmp_path)}
    assert bits("alone") == bits("followed", **followed)
