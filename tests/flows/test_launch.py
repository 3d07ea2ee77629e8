"""`axolotl train --nproc`, and processes of any other launcher: who is lost is named, a restart goes on."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from transformers import AutoModelForCausalLM

from axolotl.training.callbacks.metrics import read_metrics
from tests.flows.spread import FSDP, free_port

pytestmark = pytest.mark.slow
Options = Callable[..., dict[str, Any]]


def start(
    file: Path, *words: str, environment: dict[str, str] | None = None, on: Sequence[str] = ()
) -> Any:
    command = [*on, sys.executable, "-m", "axolotl.cli.main", "train", str(file), *words]
    variables = os.environ | {"OMP_NUM_THREADS": "1"} | (environment or {})
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables
    )


def written(options: dict[str, Any], folder: Path) -> Path:
    file = folder / "run.yml"
    file.write_text(yaml.safe_dump(options))
    return file


def steps(out: Path) -> list[int]:
    return [line["step"] for line in read_metrics(out / "metrics.jsonl") if "loss" in line]


def wait_for(reached: Callable[[], Any], process: Any) -> None:
    deadline = time.monotonic() + 180
    while not reached():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)


SHIPPED = Path(__file__).parents[2] / "deepspeed"
METHODS: dict[str, dict[str, Any]] = {
    "ddp": {},
    "fsdp": FSDP,
    **{f"zero{n}": {"deepspeed": str(SHIPPED / f"zero{n}.json")} for n in (2, 3)},
}


@pytest.mark.parametrize("method", METHODS)
def test_a_killed_process_ends_all_and_a_restart_goes_on(
    tiny_options: Options, tmp_path: Path, method: str
) -> None:
    out = tmp_path / "out"
    options = tiny_options(
        **METHODS[method],
        num_epochs=500,
        save_strategy="steps",
        save_steps=2,
        save_total_limit=2,
        evaluation_strategy="no",
        val_set_size=0,
    )
    file = written(options, tmp_path)
    process = start(file, "--nproc", "2")
    wait_for(lambda: list(out.glob("checkpoint-[2-9]*")), process)
    log = (out / "logs" / "rank-1.log").read_text()
    (number,) = re.findall(r"--- rank 1, process (\d+) on", log)
    os.kill(int(number), signal.SIGKILL)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 1, said
    assert f"rank 1 (process {number} on {socket.gethostname()}) was ended by signal 9" in said
    assert "--resume_from_checkpoint=true" in said
    assert said.count("step 2/") == 1, "the screen is for the first process alone"
    assert "step 2/" in (out / "logs" / "rank-0.log").read_text()
    assert "step 2/" in (out / "logs" / "rank-1.log").read_text()

    last = max(int(path.name.partition("-")[2]) for path in out.glob("checkpoint-*"))
    words = ("--nproc", "2", "--resume_from_checkpoint=true", "--max_steps", str(last + 2))
    again = start(file, *words)
    _, said = again.communicate(timeout=180)
    assert again.returncode == 0, said
    assert f"resuming from {out / f'checkpoint-{last}'}" in said
    assert steps(out) == list(range(1, last + 3))
    assert AutoModelForCausalLM.from_pretrained(out).num_parameters() > 0


ENDLESS = {"num_epochs": 5000, "save_strategy": "no", "val_set_size": 0}


def said_by(out: Path, rank: int) -> str:
    log = out / "logs" / f"rank-{rank}.log"
    return log.read_text() if log.exists() else ""


def pid(out: Path, rank: int) -> int:
    (number,) = re.findall(rf"--- rank {rank}, process (\d+) on", said_by(out, rank))
    return int(number)


@pytest.mark.parametrize(
    ("number", "whom", "code"),
    [(signal.SIGINT, "all", 0), (signal.SIGTERM, "all", 143), (signal.SIGTERM, "one", 143)],
    ids=["Ctrl-C", "SIGTERM", "SIGTERM to one process"],
)
def test_a_run_that_is_stopped_is_saved_and_its_exit_code_says_by_what(
    tiny_options: Options, tmp_path: Path, number: signal.Signals, whom: str, code: int
) -> None:
    out = tmp_path / "out"
    process = start(written(tiny_options(**ENDLESS), tmp_path), "--nproc", "2")
    wait_for(lambda: "step 2/" in said_by(out, 0), process)
    os.kill(process.pid if whom == "all" else pid(out, 1), number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code, said
    assert json.loads((out / "run.json").read_text())["interrupted"]
    assert "exit code" not in said, "nothing has failed"
    if whom == "all":
        assert "go on with: --resume_from_checkpoint=true" in said


def is_told(process: int, number: signal.Signals) -> bool:
    """Whether a signal waits for a stopped process."""
    status = Path(f"/proc/{process}/status").read_text()
    waiting = re.search(r"^ShdPnd:\s*(\w+)", status, re.MULTILINE)
    return bool(waiting and int(waiting[1], 16) >> (number - 1) & 1)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system has no /proc")
def test_a_second_ctrl_c_ends_all_at_once(tiny_options: Options, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start(written(tiny_options(**ENDLESS), tmp_path), "--nproc", "2")
    wait_for(lambda: "step 2/" in said_by(out, 0), process)
    os.kill(pid(out, 1), signal.SIGSTOP)  # so that the running step does not end
    process.send_signal(signal.SIGINT)
    # Of the two processes this one alone cannot have dealt with it; the other may wait where Python
    # handles no signal.
    wait_for(lambda: is_told(pid(out, 1), signal.SIGINT), process)
    process.send_signal(signal.SIGINT)
    # The processes hold the output open: it ends when the last of them has.
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert not (out / "run.json").exists()
    assert not list(out.glob("checkpoint-*"))


def answers(place: tuple[str, int]) -> bool:
    with socket.socket() as asked:
        return asked.connect_ex(place) == 0


OTHER_MACHINE = [
    *(
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "--pid",
        "--fork",
        "--uts",
        "--kill-child",
    ),
    *(
        "--mount-proc",
        "sh",
        "-c",
        'hostname machine-b && mount --bind "$0" /etc/hosts && exec "$@"',
    ),
]
"""Another name, and numbers of processes that mean nothing outside; Linux allows it where containers run."""


@pytest.mark.parametrize(
    ("what", "numbered"),
    [("process", True), ("machine", True), ("machine", False)],
    ids=["a process", "a machine", "a machine without a number"],
)
def test_who_is_lost_on_another_machine_ends_all_and_is_named(
    tiny_options: Options, tmp_path: Path, what: str, numbered: bool
) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost machine-b " + socket.gethostname() + "\n")
    tried = shutil.which("unshare") and subprocess.run(
        [*OTHER_MACHINE, str(hosts), "true"], capture_output=True, text=True, check=False
    )
    if not tried or tried.returncode:
        pytest.skip(f"no second machine can be made here: {tried and tried.stderr.strip()}")
    file = written(tiny_options(**ENDLESS), tmp_path)
    own = [["--node_rank", str(n)] if numbered else [] for n in (0, 1)]
    place = ("127.0.0.1", int(free_port()))
    words = ["--nproc", "1", "--nnodes", "2", "--rdzv_endpoint", f"{place[0]}:{place[1]}"]
    near = start(file, *words, *own[0])
    wait_for(lambda: answers(place), near)
    there = ["--output_dir", str(tmp_path / "far")]
    far = start(file, *words, *own[1], *there, on=[*OTHER_MACHINE, str(hosts)])
    with far:
        logs = [tmp_path / name / "logs" for name in ("out", "far")]
        wait_for(
            lambda: (
                all("step 3/" in log.read_text() for each in logs for log in each.glob("*"))
                and all(list(each.glob("*")) for each in logs)
            ),
            near,
        )
        (log,) = logs[1].glob("rank-*.log")
        ((rank, number),) = re.findall(
            r"--- rank (\d), process (\d+) on machine-b", log.read_text()
        )
        assert not numbered or rank == "1", "the first machine is the one with the number 0"
        inside = psutil.Process(far.pid).children(recursive=True)
        trains = [one for one in inside if "axolotl.cli.train" in one.cmdline()][-1]
        (trains if what == "process" else psutil.Process(far.pid)).kill()
        _, said = near.communicate(timeout=60)
    assert near.returncode != 0
    assert f"rank {rank} (process {number} on machine-b) is gone" in " ".join(said.split())
    assert "last heard of at: " in said


def test_a_machine_that_is_taken_away_stops_all_and_each_says_so(
    tiny_options: Options, tmp_path: Path
) -> None:
    """Neither waits for the other at its end, as torchrun does for five minutes."""
    file = written(tiny_options(**ENDLESS), tmp_path)
    words = ["--nproc", "1", "--nnodes", "2", "--rdzv_endpoint", f"127.0.0.1:{free_port()}"]
    outs = [tmp_path / "out", tmp_path / "far"]
    # The second begins before there is anything to meet at.
    second, first = (
        start(file, *words, "--node_rank", str(n), "--output_dir", str(outs[n])) for n in (1, 0)
    )
    with first, second:
        wait_for(lambda: all("step 2/" in said_by(out, n) for n, out in enumerate(outs)), first)
        second.send_signal(signal.SIGTERM)
        said = [process.communicate(timeout=90)[1] for process in (first, second)]
    assert [first.returncode, second.returncode] == [143, 143], said
    assert json.loads((outs[0] / "run.json").read_text())["interrupted"]
    assert not (outs[1] / "run.json").exists()


def test_processes_that_are_not_about_to_do_the_same_are_refused(
    tiny_options: Options, tmp_path: Path
) -> None:
    file = written(tiny_options(), tmp_path)
    # As SLURM or a script of one's own starts them: without a launcher that keeps a store.
    there = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    both = [
        start(
            file, "--learning_rate", rate, environment={**there, "RANK": rank, "LOCAL_RANK": rank}
        )
        for rank, rate in (("0", "0.5"), ("1", "0.25"))
    ]
    ends = [process.communicate(timeout=180)[1] for process in both]
    assert both[0].returncode == 2, ends[0]
    assert "learning_rate: 0.5 on rank 0, 0.25 on rank 1" in ends[0]
    assert both[1].returncode in (2, 3)
    kept = (tmp_path / "out" / "logs" / "rank-1.log").read_text()
    assert "learning_rate: 0.5 on rank 0, 0.25 on rank 1" in kept
