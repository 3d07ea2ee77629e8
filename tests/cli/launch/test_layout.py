"""How many processes, where, from what the command line, a hostfile and SLURM say."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from axolotl.cli.launch import layout
from axolotl.cli.launch.hostfile import read_hostfile
from axolotl.cli.launch.layout import Asked, find_layout
from axolotl.cli.launch.slurm import SlurmStep, hosts_of
from axolotl.cli.launch.threads import thread_settings, usable_cores
from axolotl.errors import ConfigError

STEP = {
    "SLURM_JOB_ID": "4711",
    "SLURM_STEP_ID": "0",
    "SLURM_NNODES": "2",
    "SLURM_NODEID": "1",
    "SLURM_NTASKS": "2",
    "SLURM_PROCID": "1",
    "SLURM_LOCALID": "0",
    "SLURM_JOB_NODELIST": "gpu[08-09]",
}


def hostfile(folder: Path, text: str) -> str:
    file = folder / "hosts"
    file.write_text(text)
    return str(file)


def test_one_machine_needs_no_meeting_place() -> None:
    alone = find_layout(Asked(nproc="4"), {})
    assert alone.torchrun() == ["--nproc-per-node=4", "--nnodes=1", "--standalone"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("rdzv_endpoint", "a:1"), ("rdzv_id", "run"), ("rdzv_backend", "c10d"), ("node_rank", 0)],
)
def test_one_machine_does_not_train_alone_in_silence(
    tmp_path: Path, name: str, value: str | int
) -> None:
    meeting: dict[str, Any] = {name: value}
    with pytest.raises(ConfigError, match=f"--{name} is {value}.*train alone") as caught:
        find_layout(Asked(nproc="2", **meeting), {})
    assert "--nnodes 2" in str(caught.value.hint)
    alone = ["--nproc-per-node=2", "--nnodes=1", "--standalone"]
    assert find_layout(Asked(nproc="2", nnodes="1", **meeting), {}).torchrun() == alone
    listed = Asked(hostfile=hostfile(tmp_path, "a slots=2\n"), **meeting)
    assert find_layout(listed, {}).torchrun() == alone
    step = {"SLURM_JOB_ID": "1", "SLURM_STEP_ID": "0", "SLURM_NNODES": "1"}
    assert find_layout(Asked(nproc="2", **meeting), step).torchrun() == alone


BY_HAND = {"nproc": "8", "nnodes": "2", "rdzv_endpoint": "127.0.0.1:29400", "rdzv_id": "run"}
MEET = ["--nproc-per-node=8", "--nnodes=2", "--rdzv-endpoint=127.0.0.1:29400", "--rdzv-id=run"]


def test_machines_with_numbers_keep_them() -> None:
    numbered: Any = {**BY_HAND, "node_rank": 1}
    by_number = [*MEET, "--rdzv-backend=static", "--node-rank=1"]
    assert find_layout(Asked(**numbered), {}).torchrun() == by_number
    assert find_layout(Asked(**numbered, rdzv_backend="static"), {}).torchrun() == by_number


def test_machines_without_numbers_say_by_which_address_they_are_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: Any = BY_HAND
    here = [*MEET, "--rdzv-backend=c10d"]
    assert find_layout(Asked(**asked), {}).torchrun() == here, "a loopback address leads nowhere"
    own = {("127.0.0.1", 29400): "10.0.0.7"}
    monkeypatch.setattr(layout, "address_towards", lambda *place: own[place])
    assert find_layout(Asked(**asked), {}).torchrun() == [*here, "--local-addr=10.0.0.7"]


@pytest.mark.parametrize(
    ("said", "place"), [("a", "a:29500"), ("a:7", "a:7"), ("[::1]", "[::1]:29500"), ("::1", None)]
)
def test_a_port_is_added(said: str, place: str | None) -> None:
    asked = Asked(nnodes="2", node_rank=0, rdzv_endpoint=said)
    if place is not None:
        assert find_layout(asked, {}).endpoint == place
        return
    with pytest.raises(ConfigError, match="is not HOST:PORT"):
        find_layout(asked, {})


def test_slurm_says_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(nproc="8")
    assert find_layout(asked, STEP).torchrun() == [
        "--nproc-per-node=8",
        "--nnodes=2",
        "--rdzv-endpoint=gpu08:30211",
        "--rdzv-id=4711",
        "--rdzv-backend=static",
        "--node-rank=1",
    ]
    monkeypatch.setattr(layout, "address_towards", lambda *_: None)  # as without a name service
    settled = find_layout(Asked(nproc="8", rdzv_backend="c10d"), STEP)
    assert "--rdzv-backend=c10d" in settled.torchrun()


def test_a_task_of_slurm_is_a_process() -> None:
    step = SlurmStep.read(STEP | {"SLURM_NTASKS": "4", "SLURM_PROCID": "3", "SLURM_LOCALID": "1"})
    assert step is not None
    assert step.process(29500) == {
        "RANK": "3",
        "WORLD_SIZE": "4",
        "LOCAL_RANK": "1",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "gpu08",
        "MASTER_PORT": "30211",
    }
    assert SlurmStep.read({"SLURM_JOB_ID": "1", "SLURM_NNODES": "1"}) is None
    assert SlurmStep.read({}) is None


@pytest.mark.parametrize(
    ("names", "hosts"),
    [
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        ("n[1-3]", ["n1", "n2", "n3"]),
        ("n[09-10,12]-ib,login", ["n09-ib", "n10-ib", "n12-ib", "login"]),
        ("r[1-2]n[01,3]", ["r1n01", "r1n3", "r2n01", "r2n3"]),
        ("", []),
    ],
)
def test_lists_of_slurm(names: str, hosts: list[str]) -> None:
    assert list(hosts_of(names)) == hosts


def test_a_hostfile_says_machines_and_slots(tmp_path: Path) -> None:
    text = f"# all\nfirst slots=4\n\n{socket.gethostname()} slots=2 # this one\n"
    second = find_layout(Asked(hostfile=hostfile(tmp_path, text)), {})
    assert (second.nproc, second.nnodes, second.node_rank) == ("2", "2", 1)
    assert second.endpoint == "first:29500"
    third = find_layout(Asked(hostfile=hostfile(tmp_path, "a\nb slots=3\n"), node_rank=1), {})
    assert (third.nproc, third.node_rank) == ("3", 1)


@pytest.mark.parametrize(
    ("asked", "environment", "told"),
    [
        (Asked(nnodes="2"), {}, r"nothing says where the machines meet"),
        (Asked(nnodes="3", nproc="1"), STEP, r"--nnodes says 3, SLURM says 2"),
        (Asked(nproc="8"), STEP | {"SLURM_NTASKS": "16"}, r"16 tasks on 2 nodes.*8 processes"),
        (Asked(nproc="8", node_rank=0), STEP, r"--node_rank is 0, and SLURM_NODEID 1"),
        (Asked(nproc="8"), STEP | {"SLURM_NNODES": "3"}, r"3 nodes and lists 2: gpu08, gpu09"),
        (Asked(nproc="8"), STEP | {"SLURM_NODEID": "x"}, r"SLURM_NODEID is 'x'"),
        (
            Asked(nproc="8"),
            {"SLURM_JOB_ID": "1", "SLURM_NNODES": "2"},
            r"batch script of a job on 2",
        ),
        (
            Asked(nnodes="2", rdzv_endpoint="a:1", rdzv_backend="static"),
            {},
            r"static needs the number of each machine",
        ),
        (
            Asked(nnodes="2", rdzv_endpoint="a:1", rdzv_backend="c10d", node_rank=1),
            {},
            r"--node_rank is 1, and with --rdzv_backend c10d the machines get their numbers",
        ),
        (Asked(nnodes="2", node_rank=0, rdzv_endpoint="a:70000"), {}, r"'a:70000' is not HOST"),
    ],
)
def test_what_contradicts_is_said(asked: Asked, environment: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        find_layout(asked, environment)


@pytest.mark.parametrize(
    ("text", "asked", "told"),
    [
        ("a slots=2\nb slots=2\n", {}, r"is not in .*hosts: there are a, b"),
        ("a slots=2\nb slots=2\n", {"node_rank": 2}, r"machines 0 to 1"),
        ("a slots=2\nb slots=2\n", {"node_rank": 0, "nproc": "4"}, r"gives a 2 slots"),
        (
            "a slots=2\nb slots=2\n",
            {"node_rank": 0, "nnodes": "3"},
            r"--nnodes says 3, .*hosts says 2",
        ),
        (
            "a\nb\n",
            {"node_rank": 0, "rdzv_endpoint": "b:29500"},
            r"are to meet at b, and .*hosts begins with a",
        ),
        ("a slots two\n", {}, r"'a slots two' is no machine"),
        ("a\na\n", {}, r"a stands in it twice"),
        ("# none\n", {}, r"names no machine"),
    ],
)
def test_what_is_wrong_with_a_hostfile_is_said(
    tmp_path: Path, text: str, asked: dict[str, object], told: str
) -> None:
    given = Asked(**{"hostfile": hostfile(tmp_path, text), **asked})
    with pytest.raises(ConfigError, match=told):
        find_layout(given, {})


def test_a_hostfile_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_hostfile(str(tmp_path / "none"))


def test_the_cores_are_shared_out() -> None:
    cores = usable_cores()
    assert thread_settings("1", {}) == {"OMP_NUM_THREADS": str(cores)}
    assert thread_settings(str(2 * cores), {}) == {"OMP_NUM_THREADS": "1"}
    assert thread_settings("1", {"OMP_NUM_THREADS": "3"}) == {}
    assert thread_settings("cpu", {}) == {"OMP_NUM_THREADS": "1"}
