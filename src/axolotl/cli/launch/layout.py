"""How many processes on how many machines, and where they meet: from options, hostfile and SLURM."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from axolotl.cli.launch.hostfile import HostLine, own_line, read_hostfile
from axolotl.cli.launch.slurm import SlurmStep
from axolotl.core.network import address_towards
from axolotl.errors import ConfigError

PORT = 29500
"""Where the processes of several machines meet, unless it is said."""
_PLACE = re.compile(r"(\[[^\]]+\]|[^:\[\]]+)(?::(\d+))?")


@dataclass(frozen=True)
class Asked:
    """What the command line says of the processes; None where it says nothing.

    Args:
        nproc: Processes of this machine: a number, `gpu`, `cpu` or `auto`.
        nnodes: Machines.
        node_rank: Number of this machine.
        rdzv_endpoint: Where they meet, `HOST:PORT`.
        rdzv_id: Name of the meeting.
        rdzv_backend: How they meet: `static` by their numbers, `c10d` without.
        hostfile: File with the machines, as DeepSpeed reads it.
    """

    nproc: str | None = None
    nnodes: str | None = None
    node_rank: int | None = None
    rdzv_endpoint: str | None = None
    rdzv_id: str | None = None
    rdzv_backend: str | None = None
    hostfile: str | None = None

    @property
    def anything(self) -> bool:
        """Whether the command line asks for several processes at all."""
        return any(value is not None for value in vars(self).values())


@dataclass(frozen=True)
class Layout:
    """Where the processes of a run are.

    Args:
        nproc: Processes of this machine, as torchrun takes them.
        nnodes: Machines, as torchrun takes them.
        node_rank: Number of this machine; None has the machines settle it when they meet.
        endpoint: Where the machines meet, `HOST:PORT`; None where there is one machine.
        run_id: Name of the meeting; None where there is one machine.
        address: Where the others reach this machine if it becomes the first; None leaves that to its
            name.
    """

    nproc: str = "1"
    nnodes: str = "1"
    node_rank: int | None = None
    endpoint: str | None = None
    run_id: str | None = None
    address: str | None = None

    def torchrun(self) -> list[str]:
        """The same as arguments of torchrun."""
        words = [f"--nproc-per-node={self.nproc}", f"--nnodes={self.nnodes}"]
        if self.endpoint is None:
            return [*words, "--standalone"] if self.nnodes == "1" else words
        words += [f"--rdzv-endpoint={self.endpoint}", f"--rdzv-id={self.run_id or 'axolotl'}"]
        if self.node_rank is not None:
            return [*words, "--rdzv-backend=static", f"--node-rank={self.node_rank}"]
        words.append("--rdzv-backend=c10d")
        return words if self.address is None else [*words, f"--local-addr={self.address}"]


def find_layout(asked: Asked, environment: Mapping[str, str]) -> Layout:
    """Put together what the command line, a hostfile and SLURM say.

    Args:
        asked: The command line.
        environment: Variables of the process.

    Raises:
        ConfigError: two of them contradict each other, or something is missing.
    """
    step = SlurmStep.read(environment)
    hosts = read_hostfile(asked.hostfile) if asked.hostfile else []
    _check_count(asked, step, hosts)
    _check_tasks(asked, step)
    own = own_line(hosts, asked.node_rank, asked.hostfile) if hosts else None
    nnodes = asked.nnodes or (str(len(hosts)) if hosts else str(step.nodes if step else 1))
    nproc = asked.nproc or (str(own.slots) if own else "1")
    if own is not None and asked.nproc not in (None, "gpu", "cpu", "auto", str(own.slots)):
        raise ConfigError(
            "nproc",
            f"--nproc is {asked.nproc}, and {asked.hostfile} gives {own.host} {own.slots} slots",
            where=own.where,
            hint="leave out --nproc, or mend the hostfile",
        )
    if nnodes == "1":
        if asked.nnodes is None and step is None and not hosts:
            _check_alone(asked)
        return Layout(nproc, nnodes)
    node_rank = _node_rank(asked, step, own)
    endpoint = _said_place(asked, hosts) or _meeting_place(hosts, step, nnodes)
    if asked.rdzv_backend == "static" and node_rank is None:
        raise ConfigError(
            "node_rank",
            "--rdzv_backend static needs the number of each machine",
            where="--rdzv_backend",
            hint="write --node_rank 0 on the first machine, --node_rank 1 on the second, …",
        )
    run_id = asked.rdzv_id or (step.job if step else None)
    if node_rank is not None and asked.rdzv_backend != "c10d":
        return Layout(nproc, nnodes, node_rank, endpoint, run_id)
    if asked.node_rank is not None and not hosts:
        raise ConfigError(
            "node_rank",
            f"--node_rank is {asked.node_rank}, and with --rdzv_backend c10d the machines get their "
            "numbers when they meet",
            where="--node_rank",
            hint="leave out one of the two: --rdzv_backend, if this is to be the number",
        )
    return Layout(nproc, nnodes, None, endpoint, run_id, _own_address(endpoint))


def _own_address(endpoint: str) -> str | None:
    """Where those reach this machine who meet there; its name alone may mean nothing to them."""
    host, _, port = endpoint.rpartition(":")
    own = address_towards(host.strip("[]"), int(port))
    # A machine may know its own name by an address that leads nowhere else.
    return None if own is None or ip_address(own).is_loopback else own


def _said_place(asked: Asked, hosts: list[HostLine]) -> str | None:
    """Where the machines meet, by the command line, with a port.

    Raises:
        ConfigError: it is none, or not on the first machine of the hostfile.
    """
    if asked.rdzv_endpoint is None:
        return None
    match = _PLACE.fullmatch(asked.rdzv_endpoint)
    port = int(match[2] or PORT) if match else 0
    if match is None or not 0 < port < 1 << 16:
        raise ConfigError(
            "rdzv_endpoint",
            f"'{asked.rdzv_endpoint}' is not HOST:PORT",
            where="--rdzv_endpoint",
            hint=f"write such as first-machine:{PORT}, 10.0.0.1:{PORT} or [fd00::1]:{PORT}",
        )
    if any(match[1] == line.host for line in hosts[1:]):
        raise ConfigError(
            "rdzv_endpoint",
            f"the machines are to meet at {match[1]}, and {asked.hostfile} begins with {hosts[0].host}",
            where="--rdzv_endpoint",
            hint="leave it out, or put that machine first: all others meet there",
        )
    return f"{match[1]}:{port}"


def _check_alone(asked: Asked) -> None:
    """Where nothing says that there are several machines, nothing may say where or how they meet.

    With `--nnodes 1` it may: a script that is the same for one machine and for several writes that.
    """
    for name in ("rdzv_endpoint", "rdzv_id", "rdzv_backend", "node_rank"):
        if (value := getattr(asked, name)) is not None:
            raise ConfigError(
                name,
                f"--{name} is {value}, and nothing says that there are several machines: this one "
                "would train alone",
                where=f"--{name}",
                hint="write how many there are, such as --nnodes 2; or leave it out",
            )


def _check_count(asked: Asked, step: SlurmStep | None, hosts: list[HostLine]) -> None:
    """All that say how many machines there are must say the same."""
    said = dict(_counts(asked, step, hosts))
    if len(set(said.values())) > 1:
        told = ", ".join(f"{who} says {count}" for who, count in said.items())
        raise ConfigError(
            "nnodes",
            f"how many machines? {told}",
            where="--nnodes",
            hint="leave out --nnodes: it is taken from "
            + ("the hostfile" if hosts else "SLURM")
            + (", and give the job as many nodes as the hostfile" if hosts and step else ""),
        )


def _counts(
    asked: Asked, step: SlurmStep | None, hosts: list[HostLine]
) -> Iterator[tuple[str, str]]:
    if asked.nnodes is not None:
        yield "--nnodes", asked.nnodes
    if hosts:
        yield str(asked.hostfile), str(len(hosts))
    if step is not None:
        yield "SLURM", str(step.nodes)


def _check_tasks(asked: Asked, step: SlurmStep | None) -> None:
    """Under SLURM one task of each machine starts the processes of it."""
    if step is not None and step.tasks > step.nodes:
        raise ConfigError(
            "nproc",
            f"SLURM starts {step.tasks} tasks on {step.nodes} nodes, and each would start "
            f"{asked.nproc or 'its'} processes besides",
            where="--nproc" if asked.nproc else "--hostfile" if asked.hostfile else "--nnodes",
            hint="write `srun --ntasks-per-node=1 …`, or leave the options of the launch out: then each "
            "task is one process of the run",
        )


def _node_rank(asked: Asked, step: SlurmStep | None, own: HostLine | None) -> int | None:
    """Number of this machine; what SLURM says and what the hostfile or the user says must agree."""
    if asked.node_rank is not None and step is not None and asked.node_rank != step.node:
        raise ConfigError(
            "node_rank",
            f"--node_rank is {asked.node_rank}, and SLURM_NODEID {step.node}",
            where="--node_rank",
            hint="leave out --node_rank: it is taken from SLURM",
        )
    if asked.node_rank is not None:
        return asked.node_rank
    if own is not None:
        return own.number
    return step.node if step is not None else None


def _meeting_place(hosts: list[HostLine], step: SlurmStep | None, nnodes: str) -> str:
    if hosts:
        return f"{hosts[0].host}:{PORT}"
    if step is not None:
        # Two jobs may share a machine; the port follows from the job, so all of its machines agree.
        return f"{step.first_host}:{PORT + (int(step.job) % 1000 if step.job.isdecimal() else 0)}"
    raise ConfigError(
        "rdzv_endpoint",
        f"--nnodes {nnodes}, and nothing says where the machines meet",
        where="--nnodes",
        hint="write on every machine --rdzv_endpoint HOST:29500, with the name of the first machine; or "
        "give a --hostfile",
    )
