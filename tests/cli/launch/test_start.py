"""What `axolotl train` does before there are several processes."""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from axolotl import api
from axolotl.cli import train
from axolotl.cli.launch import agent, ray_cluster, start
from axolotl.cli.launch.agent import Ending, no_meeting, run_agent, tell_failure
from axolotl.core.last_word import LastWord, leave_code, leave_word
from axolotl.core.rank_log import Twofold, keep_output, plain
from axolotl.errors import AxolotlError, ConfigError, EnvironmentFault
from axolotl.records import RunResult
from axolotl.resolve import machine

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


def test_as_many_machines_at_least_as_at_most_are_a_number(file: Path, became: list[Any]) -> None:
    answer = invoke(str(file), "--nnodes", "2:2", "--rdzv_endpoint", "127.0.0.1:1")
    assert answer.exit_code == 0, answer.output
    assert "--nnodes=2" in became[0]


def test_a_mistake_in_the_file_is_said_once_and_starts_nothing(
    file: Path, became: list[Any]
) -> None:
    answer = invoke(str(file), "--nproc", "2", "--learning_rat", "1")
    assert answer.exit_code == 2
    assert answer.output.count("unknown key 'learning_rat'") == 1
    assert not became


@pytest.mark.parametrize(
    "place",
    [{"LOCAL_RANK": "1"}, {"SLURM_STEP_ID": "0", "SLURM_LOCALID": "1"}],
    ids=["a launcher", "SLURM"],
)
def test_of_processes_of_other_launchers_one_says_it(
    file: Path, monkeypatch: pytest.MonkeyPatch, place: dict[str, str]
) -> None:
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    answer = invoke(str(file), "--learning_rat", "1")
    assert (answer.exit_code, answer.output) == (2, "")
    for name in ("LOCAL_RANK", "SLURM_LOCALID"):
        monkeypatch.setenv(name, "0")
    assert "unknown key" in invoke(str(file), "--learning_rat", "1").output


@pytest.mark.parametrize(
    ("words", "environment", "told"),
    [
        (["--nproc", "2"], {"RANK": "0"}, "one of several processes of a launcher already"),
        (["--launcher", "ray", "--nproc", "2"], {}, "Ray decides where the processes are"),
        (["--ray_num_workers", "2"], {}, "add --launcher ray"),
        (["--nproc", "many"], {}, "neither a number of processes"),
        (["--nproc", "2", "--nnodes", "0"], {}, "'0' is no number of machines"),
        (["--nproc", "2", "--nnodes", "1:2"], {}, "'1:2': a run has as many machines at its end"),
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


@pytest.mark.parametrize(
    ("words", "world"), [(["--nproc", "2"], ""), (["--launcher", "ray"], ""), ([], "2")]
)
def test_windows_trains_with_one_process(
    file: Path, became: list[Any], monkeypatch: pytest.MonkeyPatch, words: list[str], world: str
) -> None:
    monkeypatch.setattr(start.platform, "system", lambda: "Windows")
    monkeypatch.setenv("WORLD_SIZE", world)
    monkeypatch.setattr(api, "train", lambda _: pytest.fail("it has begun"))
    answer = invoke(str(file), *words)
    assert (answer.exit_code, became) == (2, [])
    assert "several processes are not trained with on Windows" in answer.output
    assert "WSL" in answer.output


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


def failure(code: int, *, at: float = 0.0) -> Ending:
    return Ending(code, 12, at)


def test_the_process_that_failed_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "rank-1.log").write_text("first\nno space left\n")
    assert tell_failure({0: failure(3), 1: failure(-9, at=5)}, logs) == 1
    assert "rank 1 (process 12 on" in (said := capsys.readouterr().err)
    assert "SIGKILL" in said
    assert "there is no checkpoint yet" in said
    (tmp_path / "checkpoint-3").mkdir()
    assert tell_failure({0: failure(-15), 1: failure(2, at=9), 2: failure(3)}, logs) == 2
    assert "| no space left" in (said := capsys.readouterr().err)
    assert "rank 1" in said
    assert "--resume_from_checkpoint=true" in said
    assert tell_failure({0: failure(2)}, logs) == 2
    assert capsys.readouterr().err == "", "the first process has said it on the screen"


@pytest.mark.parametrize(
    ("codes", "told", "ends"),
    [
        ([], signal.SIGTERM, 143),
        ([], signal.SIGINT, 130),
        ([0, 0], signal.SIGINT, 0),
        ([0, 0], signal.SIGTERM, 0),
        ([143, 143], signal.SIGTERM, 143),
        ([2, 3], signal.SIGTERM, 2),
    ],
    ids=["began not", "the same by Ctrl-C", "Ctrl-C", "all was done", "SIGTERM", "a full disk"],
)
def test_a_launcher_that_was_told_to_stop_ends_as_its_processes_do(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    codes: list[int],
    told: signal.Signals,
    ends: int,
) -> None:
    import torch.distributed.run as torchrun
    from torch.distributed.elastic.multiprocessing.api import SignalException

    def stopped(_: Any) -> None:
        for rank, code in enumerate(codes):
            monkeypatch.setenv("RANK", str(rank))
            leave_code(code)
        raise SignalException("told", told)

    monkeypatch.setattr(torchrun, "run", stopped)
    monkeypatch.setattr(torchrun, "parse_args", lambda words: words)
    monkeypatch.setattr("logging.disable", lambda _: None)
    assert run_agent([str(tmp_path / "logs"), "--nnodes=1"]) == ends


@pytest.mark.parametrize(
    ("told", "code"), [(None, 0), (signal.SIGINT, 0), (signal.SIGTERM, 143)], ids=str
)
def test_who_starts_a_run_that_was_taken_away_anew_knows_by_its_exit_code(
    file: Path, monkeypatch: pytest.MonkeyPatch, told: signal.Signals | None, code: int
) -> None:
    figures = {"tokens_per_second": 1.0, "seconds": 1.0, "peak_memory_bytes": 1}
    result = RunResult(file.parent, 1, 2.0, 1.0, told is not None, figures, told)
    monkeypatch.setattr(api, "train", lambda _: result)
    before = signal.getsignal(signal.SIGTERM)
    try:
        answer = invoke(str(file))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert answer.exit_code == code, answer.output
    assert ("go on with" in answer.output) == (told is not None)


@pytest.mark.parametrize("error", ["ConnectionError", "DistNetworkError", "DistStoreError"])
def test_a_launcher_of_another_machine_that_has_gone_is_told_from_one_that_never_came(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: str,
) -> None:
    import torch.distributed as dist
    import torch.distributed.run as torchrun

    def alone(_: Any) -> None:
        raise getattr(dist, error, ConnectionError)("no answer")

    monkeypatch.setattr(torchrun, "run", alone)
    monkeypatch.setattr(torchrun, "parse_args", lambda words: words)
    monkeypatch.setattr("logging.disable", lambda _: None)
    logs = tmp_path / "logs"
    logs.mkdir()
    arguments = [str(logs), "--nnodes=2", "--rdzv-endpoint=a:1"]
    assert run_agent(arguments) == 2
    assert "did not meet at a:1: no answer" in capsys.readouterr().err
    (logs / "rank-0.log").touch()
    os.utime(logs / "rank-0.log", (time.time() + 9, time.time() + 9))
    assert run_agent(arguments) == 3
    assert "the launcher of another machine has gone" in capsys.readouterr().err


def test_a_launcher_says_whom_its_processes_have_found_to_be_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where torchrun waits for a store that is on the machine that is lost."""
    import torch.distributed.run as torchrun

    said, ended = threading.Event(), list[int]()
    lost = "rank 0 (process 7 on a) does not answer: its machine is lost"

    def leave(code: int) -> None:
        ended.append(code)
        said.set()

    def waits(_: Any) -> None:
        leave_word(lost, machine=True)
        assert said.wait(60)
        raise ConnectionError("no answer")

    monkeypatch.setattr(torchrun, "run", waits)
    monkeypatch.setattr(torchrun, "parse_args", lambda words: words)
    monkeypatch.setattr("logging.disable", lambda _: None)
    monkeypatch.setattr(agent, "_ENDS_AFTER_MACHINE_S", 0.01)
    monkeypatch.setattr(os, "_exit", leave)
    logs = tmp_path / "logs"
    logs.mkdir()
    run_agent([str(logs), "--nnodes=2"])
    assert ended == [3]
    assert f"{lost}; the processes of this machine were stopped" in capsys.readouterr().err

    word = LastWord("rank 0 (process 7 on a) is gone", machine=False)
    assert tell_failure({1: failure(3)}, logs, word) == 3
    assert "rank 0 (process 7 on a) is gone; the processes" in capsys.readouterr().err
    leave_word("nobody asks for it", machine=False)


def test_the_first_process_has_said_what_is_wrong_though_the_launcher_ended_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second hears of its end and goes; torchrun sees that first, and ends the first meanwhile."""
    import torch.distributed.run as torchrun
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

    def runs(_: Any) -> None:
        monkeypatch.setenv("RANK", "0")
        leave_code(2)
        missing = str(tmp_path / "none")
        ends = {0: -15, 1: 3}
        raise ChildFailedError(
            "train", {n: ProcessFailure(n, 12, code, missing) for n, code in ends.items()}
        )

    monkeypatch.setattr(torchrun, "run", runs)
    monkeypatch.setattr(torchrun, "parse_args", lambda words: words)
    monkeypatch.setattr("logging.disable", lambda _: None)
    assert run_agent([str(tmp_path / "logs")]) == 2
    assert capsys.readouterr().err == ""


def test_a_process_for_each_gpu_needs_one(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "this_machine", lambda: machine.Machine(gpu=False, bf16=False))
    answer = invoke(str(file), "--nproc", "gpu")
    assert answer.exit_code == 2
    assert "--nproc gpu: there is no GPU here" in answer.output


def test_machines_that_do_not_meet() -> None:
    error = no_meeting(["--nnodes=2", "--rdzv-endpoint=a:1", "-m", "x"], TimeoutError("late\nmore"))
    assert "did not meet at a:1: late" in str(error)
    assert "more" not in str(error)
    assert "--node_rank 0" not in str(error)
    words = ["--nnodes=2", "--rdzv-endpoint=a:1", "--node-rank=1"]
    assert "the one with --node_rank 0" in str(no_meeting(words, TimeoutError("late")))


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


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"resources_per_worker": "4"}, "no mapping of numbers"),
        ({"resources_per_worker": '{"CPU": "many"}'}, "no mapping of numbers"),
        ({"storage_path": "s3://bucket/runs"}, "is no folder"),
        ({"num_workers": 9}, "9 workers take 9 CPU, and the cluster has 8"),
        ({"num_workers": 2, "resources_per_worker": '{"CPU": 6}'}, "take 12 CPU"),
        ({"num_workers": 1, "resources_per_worker": '{"GPU": 1}'}, "take 1 GPU"),
        ({}, "nothing says how many processes"),
    ],
)
def test_what_ray_cannot_give_is_said(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], told: str
) -> None:
    ray = SimpleNamespace(
        init=lambda **_: None, cluster_resources=lambda: {"CPU": 8.0}, shutdown=lambda: None
    )
    monkeypatch.setattr(ray_cluster, "need", lambda *_, **__: ray)
    resolved: Any = SimpleNamespace()
    with pytest.raises(ConfigError, match=told):
        ray_cluster.train_on_ray(resolved, [], changes)


@pytest.mark.parametrize("joined", ["--ray_address", "RAY_ADDRESS", None])
def test_a_cluster_that_grows_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], joined: str | None
) -> None:
    """On one that has a first machine alone, and starts those with GPUs when it needs them."""
    started: list[Any] = []
    ray = SimpleNamespace(
        init=lambda **_: None,
        cluster_resources=lambda: {"CPU": 2.0},
        shutdown=lambda: None,
        ScalingConfig=lambda **given: started.append(given) or sys.exit(7),
        TorchConfig=lambda **_: None,
        TorchTrainer=lambda **_: None,
    )
    monkeypatch.setattr(ray_cluster, "need", lambda *_, **__: ray)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if joined == "RAY_ADDRESS":
        monkeypatch.setenv("RAY_ADDRESS", "auto")
    resolved: Any = SimpleNamespace(
        distributed=SimpleNamespace(ddp_timeout=None, fsdp=None), as_dict=dict
    )
    options = {
        "num_workers": 8,
        "resources_per_worker": '{"GPU": 1}',
        "address": "auto" if joined == "--ray_address" else None,
    }
    expected: Any = (
        pytest.raises(SystemExit) if joined else pytest.raises(ConfigError, match="8 GPU")
    )
    with expected:
        ray_cluster.train_on_ray(resolved, [], options)
    if joined:
        assert (started[0]["num_workers"], started[0]["use_gpu"]) == (8, True)
        said = capsys.readouterr().err
        assert "8 workers take 8 GPU, and the cluster has 0 now; Ray waits" in said
        with pytest.raises(SystemExit):
            ray_cluster.train_on_ray(resolved, [], options | {"resources_per_worker": None})
        assert not started[1]["use_gpu"]
        assert "so the workers compute on CPUs" in capsys.readouterr().err


def test_ray_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    resolved: Any = SimpleNamespace()
    with pytest.raises(AxolotlError) as caught:
        ray_cluster.train_on_ray(resolved, [], {})
    assert "axolotl[ray]" in str(caught.value)


class FakeTrainer:
    """Stands for Ray's: the first worker leaves its mark, and the result where it is to write one."""

    def __init__(
        self, _: Any, *, output: Path, writes: bool, fault: Any = None, **given: Any
    ) -> None:
        self.output, self.writes, self.fault = output, writes, fault
        self.mark = output / "logs" / f"{given['train_loop_config']['run']}.started"

    def fit(self) -> Any:
        self.mark.parent.mkdir(parents=True, exist_ok=True)
        self.mark.touch()
        if self.writes:
            figures = {"tokens_per_second": 1.0, "seconds": 1.0, "peak_memory_bytes": 1}
            final = {"train_loss": 2.5, "eval_loss": 1.25, "steps": 12, **figures}
            record = {"interrupted": False, "final": final}
            (self.output / "run.json").write_text(json.dumps(record))
        return SimpleNamespace(return_value=self.fault)


def test_the_end_of_a_run_on_ray_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "shared" / "out"

    def train(*, writes: bool, fault: Any = None) -> str:
        def anything(**_: Any) -> None: ...

        ray = SimpleNamespace(
            **dict.fromkeys(("init", "TorchConfig", "ScalingConfig", "RunConfig"), anything),
            FailureConfig=anything,
            shutdown=anything,
            cluster_resources=lambda: {"CPU": 8.0},
            TorchTrainer=partial(FakeTrainer, output=output, writes=writes, fault=fault),
        )
        ray.v2 = SimpleNamespace(api=SimpleNamespace(exceptions=SimpleNamespace()))
        ray.v2.api.exceptions.WorkerGroupError = RuntimeError
        monkeypatch.setattr(ray_cluster, "need", lambda *_, **__: ray)
        resolved: Any = SimpleNamespace(
            distributed=SimpleNamespace(ddp_timeout=None, fsdp=None),
            saving=SimpleNamespace(output_dir="out"),
            adapter=SimpleNamespace(adapter=None),
            as_dict=lambda: {"output_dir": "out", "dataset_prepared_path": None},
        )
        options = {"num_workers": 2, "storage_path": str(tmp_path / "shared")}
        ray_cluster.train_on_ray(resolved, ["a.yml"], options)
        assert not list(output.glob("logs/*.started"))
        return capsys.readouterr().err

    said = train(writes=True)
    assert "2.5000 in training, 1.2500 on held-out rows" in said
    assert f"axolotl inference a.yml --output_dir={output}" in said
    again = train(writes=False)
    assert "2.5000" not in again, "that is the result of an earlier run"
    assert str(output) in again
    with pytest.raises(EnvironmentFault, match=r"a\.jsonl row 3: no text") as refused:
        train(
            writes=False, fault={"what": "no text", "where": "a.jsonl row 3", "hint": "write one"}
        )
    assert refused.value.hint == "write one"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "joined"),
    [
        ({"fsdp": True, "use_gpu": True}, "cuda:nccl,cpu:gloo"),
        ({"fsdp": True, "use_gpu": False}, "gloo"),
        ({"fsdp": False, "use_gpu": True}, "nccl"),
    ],
)
def test_ray_joins_what_torchrun_joins(
    monkeypatch: pytest.MonkeyPatch, asked: dict[str, bool], joined: str
) -> None:
    """Ray's own code, as far as it goes without GPUs: what it would join is asked for, not joined."""
    config: Any = pytest.importorskip("ray.train.torch.config")
    seen: list[str] = []
    monkeypatch.setattr(
        config.dist, "init_process_group", lambda **given: seen.append(given["backend"])
    )
    monkeypatch.setattr(config.ray, "get", lambda futures, **_: futures)

    class Workers(list[Any]):
        get_resources_per_worker = staticmethod(lambda: {"GPU": float(asked["use_gpu"])})
        execute_single = staticmethod(lambda _, __: ("127.0.0.1", 1))
        execute = staticmethod(lambda *_, **__: None)
        execute_single_async = staticmethod(lambda _, work, **given: work(**given))

    wanted = config.TorchConfig(backend=ray_cluster._backend(**asked))  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setenv("TORCH_NCCL_ASYNC_ERROR_HANDLING", "1")
    wanted.backend_cls().on_start(Workers([0, 1]), wanted)
    assert seen == [joined, joined]


def test_what_a_worker_failed_with_is_found() -> None:
    fault = EnvironmentFault("no row", where="a.jsonl row 3")
    wrapped = RuntimeError("of Ray")
    wrapped.__cause__ = fault
    found = ray_cluster._fault_of({1: ValueError("x"), 0: wrapped})  # pyright: ignore[reportPrivateUsage]
    assert found is fault
    assert ray_cluster._fault_of({0: ValueError("x")}) is None  # pyright: ignore[reportPrivateUsage]
    sent = pickle.loads(pickle.dumps(fault))
    assert (sent.what, sent.where, sent.hint) == ("no row", "a.jsonl row 3", None)
