"""Whether a command starts processes, becomes one of SLURM's, or just goes on."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from axolotl.cli.launch.layout import PORT, find_layout
from axolotl.cli.launch.options import asked_of, ray_options
from axolotl.cli.launch.slurm import SlurmStep
from axolotl.errors import ConfigError

if TYPE_CHECKING:
    from axolotl.resolve import Resolved

MODULE = "axolotl.cli.train"


def start_processes(resolved: Resolved, arguments: Sequence[str], options: dict[str, Any]) -> bool:
    """Start the processes that are asked for.

    The file has been read and checked by now; of whatever is wrong with it there has been one message.

    Args:
        resolved: The configuration.
        arguments: What was typed: the file and overrides.
        options: The options of the launch.

    Returns:
        Whether the training is done, by others; False where this process is to do it. It does not
        return where this process becomes the launcher.

    Raises:
        ConfigError: the options contradict each other, or what the environment says.
    """
    asked, ray = asked_of(options), ray_options(options)
    if asked.anything or options["launcher"] or int(os.environ.get("WORLD_SIZE") or 1) > 1:
        _refuse_windows()
    if "RANK" in os.environ:
        if asked.anything or options["launcher"] is not None:
            raise ConfigError(
                "nproc",
                "this is one of several processes of a launcher already, and would start others",
                where="--nproc"
                if asked.nproc
                else "--launcher"
                if options["launcher"]
                else "--nnodes",
                hint="write either `torchrun … -m axolotl.cli.train CONFIG` or "
                "`axolotl train CONFIG --nproc N`",
            )
        return False
    if options["launcher"] == "ray":
        if asked.anything:
            raise ConfigError(
                "launcher",
                "Ray decides where the processes are",
                where="--launcher",
                hint="write --ray_num_workers N in place of --nproc, --nnodes and the like",
            )
        from axolotl.cli.launch.ray_cluster import train_on_ray

        train_on_ray(resolved, command_line(resolved, arguments), ray)
        return True
    if ray:
        name = f"--ray_{next(iter(ray))}"
        raise ConfigError("launcher", f"{name} is for Ray", where=name, hint="add --launcher ray")
    if asked.anything or options["launcher"] == "torchrun":
        from axolotl.cli.launch.torchrun import become_launcher

        become_launcher(
            find_layout(asked, os.environ),
            MODULE,
            command_line(resolved, arguments),
            logs=Path(resolved.saving.output_dir) / "logs",
            environment=os.environ,
        )
    _take_slurm_task()
    return False


def _refuse_windows() -> None:
    """Windows ends a process that is only asked whether it lives, and has no NCCL.

    Raises:
        ConfigError: this is Windows.
    """
    if platform.system() == "Windows":
        raise ConfigError(
            "nproc",
            "several processes are not trained with on Windows",
            where="--nproc",
            hint="run it in WSL (`wsl --install`), a Linux within Windows, which sees the GPUs",
        )


def command_line(resolved: Resolved, arguments: Sequence[str]) -> list[str]:
    """The same command line for each process, with the file that was chosen in the place of a folder.

    Raises:
        ConfigError: the file comes from standard input, which only one process can read.
    """
    from axolotl.config import options
    from axolotl.config.overrides import split_arguments

    named, _ = split_arguments(arguments, options())
    if named == ["-"]:
        raise ConfigError(
            "",
            "several processes cannot read one standard input",
            where="-",
            hint="write the configuration into a file",
        )
    file = resolved.config.file
    if file is None or (named and Path(named[0]) == file):
        return list(arguments)
    rest = list(arguments)
    if named:
        rest.remove(named[0])
    return [str(file), *rest]


def _take_slurm_task() -> None:
    """Where SLURM has started several tasks, each is one process of the run."""
    step = SlurmStep.read(os.environ)
    if step is None or step.tasks < 2:
        return
    local = -(-step.tasks // step.nodes)
    seen = [card for card in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if card]
    if seen and len(seen) < local:
        raise ConfigError(
            "nproc",
            f"SLURM starts {local} tasks on a node and lets this one see {len(seen)} of its GPUs",
            where="CUDA_VISIBLE_DEVICES",
            hint="write --gpus-per-node in place of --gpus-per-task, so that the GPUs of a node can "
            "reach each other",
        )
    os.environ.update(step.process(PORT))
