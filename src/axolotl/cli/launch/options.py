"""The options of the launch, as `axolotl train` takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from axolotl.cli.launch.layout import Asked

_RAY = ("ray_num_workers", "ray_resources_per_worker", "ray_storage_path", "ray_run_name")
_RAY_MORE = ("ray_address", "ray_max_failures")
_TORCHRUN = tuple(Asked.__dataclass_fields__)


class _Processes(click.ParamType):
    name = "N"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        text = str(value)
        if text in ("gpu", "cpu", "auto") or (text.isdecimal() and int(text) > 0):
            return text
        self.fail(f"'{text}' is neither a number of processes nor gpu, cpu or auto", param, ctx)


class _Machines(click.ParamType):
    name = "N"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        least, _, most = str(value).partition(":")
        if not least.isdecimal() or int(least) < 1:
            self.fail(f"'{value}' is no number of machines", param, ctx)
        if most not in ("", least):
            fixed = "a run has as many machines at its end as at its beginning"
            self.fail(f"'{value}': {fixed}; write one number, such as {most}", param, ctx)
        return least


OPTIONS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (
        ("--launcher",),
        {
            "type": click.Choice(["torchrun", "ray"]),
            "help": "What starts the processes; torchrun by default.",
        },
    ),
    (
        ("--nproc",),
        {
            "type": _Processes(),
            "help": "Start so many processes on this machine: a number, or `gpu` for one on each GPU.",
        },
    ),
    (("--nnodes",), {"type": _Machines(), "help": "Machines; the command is run on each of them."}),
    (("--node_rank",), {"type": click.IntRange(min=0), "help": "Number of this machine, from 0."}),
    (
        ("--rdzv_endpoint",),
        {"metavar": "HOST:PORT", "help": "Where the machines meet: the first of them, and a port."},
    ),
    (
        ("--rdzv_id",),
        {"metavar": "NAME", "help": "Name of the meeting, the same on all machines."},
    ),
    (
        ("--rdzv_backend",),
        {
            "type": click.Choice(["c10d", "static"]),
            "help": "How they meet: static by their numbers, c10d where they have none.",
        },
    ),
    (
        ("--hostfile",),
        {"metavar": "FILE", "help": "Machines, a line `HOST slots=N` each, as for DeepSpeed."},
    ),
    (
        ("--ray_num_workers",),
        {"type": click.IntRange(min=1), "help": "Ray: processes; by default one on each GPU."},
    ),
    (
        ("--ray_resources_per_worker",),
        {"metavar": "JSON", "help": 'Ray: what each takes, such as \'{"CPU": 4, "GPU": 1}\'.'},
    ),
    (
        ("--ray_storage_path",),
        {
            "metavar": "PLACE",
            "help": "Ray: folder that all machines of the cluster see; a bucket has to be mounted.",
        },
    ),
    (("--ray_run_name",), {"metavar": "NAME", "help": "Ray: name of the run."}),
    (
        ("--ray_address",),
        {"metavar": "ADDRESS", "help": "Ray: the cluster; by default the one it runs in, or none."},
    ),
    (
        ("--ray_max_failures",),
        {
            "type": click.IntRange(min=0),
            "help": "Ray: restart from the last checkpoint so often after a failure; 0 by default.",
        },
    ),
)


def launch_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Declare the options of the launch on a command; they come as keyword arguments."""
    for names, settings in reversed(OPTIONS):
        command = click.option(*names, **settings)(command)
    return command


def asked_of(options: dict[str, Any]) -> Asked:
    """What the command line says of processes that torchrun starts."""
    return Asked(**{name: options[name] for name in _TORCHRUN})


def ray_options(options: dict[str, Any]) -> dict[str, Any]:
    """What the command line says of Ray, by the names without `ray_`; only what it says."""
    names = (*_RAY, *_RAY_MORE)
    return {name.removeprefix("ray_"): options[name] for name in names if options[name] is not None}
