"""What SLURM says of the step that this process is a task of.

Its variables count only inside `srun`: in the batch script itself they describe the whole job, of
which the script runs on the first machine alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from axolotl.errors import ConfigError

_NAME = re.compile(r"(?:[^,\[]|\[[^\]]*\])+")
"""A name, with commas only inside of brackets."""
_BRACKETS = re.compile(r"\[([^\]]*)\]")


@dataclass(frozen=True)
class SlurmStep:
    """A step of a job.

    Args:
        job: Number of the job.
        nodes: Machines of the step.
        node: Number of this machine.
        tasks: Tasks of the step.
        task: Number of this task.
        local: Its number on this machine.
        first_host: Name of the first machine.
    """

    job: str
    nodes: int
    node: int
    tasks: int
    task: int
    local: int
    first_host: str

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> SlurmStep | None:
        """The step; None outside `srun`.

        Raises:
            ConfigError: the variables contradict each other, or a job of several machines is not
                started by `srun`.
        """
        if "SLURM_JOB_ID" not in environment:
            return None
        if not {"SLURM_STEP_ID", "SLURM_STEPID"} & environment.keys():
            _refuse_script(environment)
            return None
        nodes = _number(environment, "SLURM_STEP_NUM_NODES", "SLURM_NNODES", default=1)
        names = list(
            hosts_of(
                environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST", "")
            )
        )
        if names and len(names) != nodes:
            raise ConfigError(
                "nnodes",
                f"SLURM says {nodes} nodes and lists {len(names)}: {', '.join(names)}",
                where="SLURM_NNODES",
                hint="unset SLURM_NNODES and SLURM_JOB_NODELIST if they are left over from another job",
            )
        return cls(
            job=environment["SLURM_JOB_ID"],
            nodes=nodes,
            node=_number(environment, "SLURM_NODEID", default=0),
            tasks=_number(environment, "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", default=nodes),
            task=_number(environment, "SLURM_PROCID", default=0),
            local=_number(environment, "SLURM_LOCALID", default=0),
            first_host=names[0] if names else environment.get("SLURMD_NODENAME", "localhost"),
        )

    def process(self, port: int) -> dict[str, str]:
        """What a launcher would tell this task, where each is one process of the run.

        Args:
            port: Where the processes meet, on the first machine.
        """
        return {
            "RANK": str(self.task),
            "WORLD_SIZE": str(self.tasks),
            "LOCAL_RANK": str(self.local),
            "LOCAL_WORLD_SIZE": str(-(-self.tasks // self.nodes)),
            "MASTER_ADDR": self.first_host,
            "MASTER_PORT": str(port + (int(self.job) % 1000 if self.job.isdecimal() else 0)),
        }


def _refuse_script(environment: Mapping[str, str]) -> None:
    """A batch script runs on one machine of its job: the others would be waited for in vain."""
    nodes = _number(environment, "SLURM_NNODES", "SLURM_JOB_NUM_NODES", default=1)
    if nodes > 1:
        raise ConfigError(
            "nnodes",
            f"this is the batch script of a job on {nodes} nodes, and it runs on the first alone",
            where="SLURM_NNODES",
            hint="write `srun --ntasks-per-node=1 axolotl train …` in it",
        )


def _number(environment: Mapping[str, str], *names: str, default: int) -> int:
    for name in names:
        if (text := environment.get(name)) is not None:
            if not text.isdecimal():
                raise ConfigError("nnodes", f"{name} is '{text}', not a number", where=name)
            return int(text)
    return default


def hosts_of(names: str) -> Iterator[str]:
    """The machines that SLURM lists in short.

    >>> list(hosts_of("gpu[01-03,7],login"))
    ['gpu01', 'gpu02', 'gpu03', 'gpu7', 'login']
    >>> list(hosts_of("rack[1-2]node[01-02]"))
    ['rack1node01', 'rack1node02', 'rack2node01', 'rack2node02']
    """
    for name in _NAME.findall(names):
        # What stands between brackets and what stands in them take turns.
        parts = _BRACKETS.split(name)
        choices = [_numbers(part) if place % 2 else [part] for place, part in enumerate(parts)]
        yield from map("".join, product(*choices))


def _numbers(spans: str) -> Iterator[str]:
    """The numbers of `01-03,7`, each as long as the first of its span."""
    for span in spans.split(","):
        first, _, last = span.partition("-")
        for number in range(int(first), int(last or first) + 1):
            yield f"{number:0{len(first)}}"
