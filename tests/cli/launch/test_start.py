"""What `axolotl train` does before there are several processes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from axolotl import api
from axolotl.cli import train
from axolotl.cli.launch.agent import no_meeting, tell_failure
from axolotl.core.rank_log import Twofold, keep_output, plain
from axolotl.records import RunResult

LAUNCHER = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "SLURM_JOB_ID", "AXOLOTL_CHECKED")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in LAUNCHER:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n')
    data = [{"path": str(tmp_path / "rows.jsonl"), "type": "completion"}]
    options = {"base_model": str(tmp_path), "datasets": data, "output_dir": str(tmp_path / "out")}
    (tmp_path / "run.yml").write_text(yaml.safe_dump(options))
    return tmp_path / "run.yml"


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    seen: list[Any] = []

    def execve(program: str, words: list[str], environment: dict[str, str]) -> None:
        seen.extend([words, environment])
        raise SystemExit(0)

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return seen


def invoke(*words: str) -> Any:
    return CliRunner().invoke(train.main, list(words), catch_exceptions=False)


def test_the_command_becomes_the_launcher(file: Path, became: list[Any]) -> None:
    answer = invoke(str(file), "--nproc", "2", "--learning_rate", "0.5")
    assert answer.exit_code == 0, answer.output
    words, environment = became
    assert words[:4] == [
        sys.executable,
        "-m",
        "axolotl.cli.launch.agent",
        str(file.parent / "out/logs"),
    ]
    assert words[4:7] == ["--nproc-per-node=2", "--nnodes=1", "--standalone"]
    assert words[-5:] == ["-m", "axolotl.cli.train", str(file), "--learning_rate", "0.5"]
    assert int(environment["OMP_NUM_THREADS"]) >= 1


def test_the_file_of_a_folder_is_named_to_each_process(file: Path, became: list[Any]) -> None:
    assert invoke(str(file.parent), "--nproc", "2", "--seed", "3").exit_code == 0
    assert became[0][-3:] == [str(file), "--seed", "3"]


def test_a_mistake_in_the_file_is_said_once_and_starts_nothing(
    file: Path, became: list[Any]
) -> None:
    answer = invoke(str(file), "--nproc", "2", "--learning_rat", "1")
    assert answer.exit_code == 2
    assert answer.output.count("unknown key 'learning_rat'") == 1
    assert not became


@pytest.mark.parametrize(
    ("words", "environment", "told"),
    [
        (["--nproc", "2"], {"RANK": "0"}, "one of several processes of a launcher already"),
        (["--launcher", "ray", "--nproc", "2"], {}, "Ray decides where the processes are"),
        (["--ray_num_workers", "2"], {}, "add --launcher ray"),
        (["--nproc", "many"], {}, "neither a number of processes"),
        (["--nproc", "2", "--nnodes", "0"], {}, "neither a number of machines"),
    ],
)
def test_what_does_not_go_together(
    file: Path,
    became: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    environment: dict[str, str],
    told: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    answer = invoke(str(file), *words)
    assert answer.exit_code == 2
    assert told in answer.output
    assert not became


def test_a_task_of_slurm_trains_as_a_process(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = {"JOB_ID": "7", "STEP_ID": "0", "NNODES": "1", "NTASKS": "2", "PROCID": "1"}
    for name, value in step.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")  # so that they are put back afterwards
        monkeypatch.delenv(name)
    seen: list[str | None] = []

    def trained(_: Any) -> RunResult:
        seen.extend(os.environ.get(name) for name in ("RANK", "WORLD_SIZE", "MASTER_PORT"))
        figures = {"tokens_per_second": 1.0, "seconds": 1.0, "peak_memory_bytes": 1}
        return RunResult(file.parent, 1, 2.0, 1.0, metrics=figures)

    monkeypatch.setattr(api, "train", trained)
    monkeypatch.setattr("axolotl.core.rank_log.keep_output", lambda _: None)
    assert invoke(str(file)).exit_code == 0
    assert seen == ["1", "2", "29507"]
    monkeypatch.delenv("RANK")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    answer = invoke(str(file))
    assert answer.exit_code == 2
    assert "--gpus-per-node" in answer.output


def failure(code: int, *, at: float = 0.0, name: str = "SIGKILL") -> Any:
    return SimpleNamespace(exitcode=code, pid=12, timestamp=at, signal_name=lambda: name)


def test_the_process_that_failed_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rank-1.log").write_text("first\nno space left\n")
    assert tell_failure({0: failure(3), 1: failure(-9, at=5)}, tmp_path) == 1
    assert "rank 1 (process 12 on" in (said := capsys.readouterr().err)
    assert "SIGKILL" in said
    assert "--resume_from_checkpoint=true" in said
    assert tell_failure({0: failure(-15), 1: failure(2, at=9), 2: failure(3)}, tmp_path) == 2
    assert "| no space left" in (said := capsys.readouterr().err)
    assert "rank 1" in said


def test_machines_that_do_not_meet() -> None:
    error = no_meeting(["--nnodes=2", "--rdzv-endpoint=a:1", "-m", "x"], TimeoutError("late\nmore"))
    assert "did not meet at a:1: late" in str(error)
    assert "more" not in str(error)


def test_the_output_of_the_first_is_kept_without_colours_and_bars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert keep_output(tmp_path) is None
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    file = keep_output(tmp_path)
    assert file is not None
    sys.stderr.write("\x1b[31mred\x1b[0m\n")
    sys.stderr.write("\r\x1b[2Kstep 1\n 50 % |###")
    assert isinstance(sys.stderr, Twofold)
    assert not sys.stderr.isatty()
    head, *lines = file.read_text().splitlines()
    assert head.startswith("--- rank 0")
    assert lines == ["red", "step 1"]
    assert "\x1b[31mred" in capsys.readouterr().err
    sys.stderr.kept.close()
    assert plain("40 %\r60 %") == ""
