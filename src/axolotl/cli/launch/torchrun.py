"""`axolotl train --nproc N`: this process becomes the launcher of N others."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from axolotl.cli.launch.layout import Layout
from axolotl.cli.launch.threads import thread_settings
from axolotl.errors import ConfigError

CHECKED = "AXOLOTL_CHECKED"
"""Set for processes whose configuration the launcher has checked and remarked upon already."""
STOP_S = 300
"""How long processes have to save and end after a signal. When one is lost, the others end by
themselves within seconds."""


def launch_words(
    layout: Layout, command: str, arguments: Sequence[str], *, logs: Path
) -> list[str]:
    """The command that starts the processes.

    Args:
        layout: How many, and where.
        command: Module that each runs.
        arguments: Its arguments.
        logs: Where their output is kept.
    """
    return [
        *(sys.executable, "-m", "axolotl.cli.launch.agent", str(logs)),
        *layout.torchrun(),
        f"--shutdown-timeout={STOP_S}",
        *("-m", command),
        *arguments,
    ]


def _see_gpus(layout: Layout) -> None:
    """Refuse `--nproc gpu` where there is none, of which torchrun would say so in a traceback.

    Raises:
        ConfigError: there is none.
    """
    from axolotl.resolve.machine import this_machine

    if layout.nproc == "gpu" and not this_machine().gpu:
        raise ConfigError(
            "nproc",
            "--nproc gpu: there is no GPU here that torch can use",
            where="--nproc",
            hint="write how many processes there are to be, such as --nproc 2",
        )


def become_launcher(
    layout: Layout,
    command: str,
    arguments: Sequence[str],
    *,
    logs: Path,
    environment: Mapping[str, str],
) -> NoReturn:
    """Go on as the launcher, in this very process: signals and exit code are its own.

    Args:
        layout: How many processes, and where.
        command: Module that each runs.
        arguments: Its arguments.
        logs: Where their output is kept.
        environment: Variables of this process.

    Raises:
        ConfigError: a process for each GPU is asked for, and there is none.
    """
    _see_gpus(layout)
    words = launch_words(layout, command, arguments, logs=logs)
    sys.stdout.flush()
    sys.stderr.flush()
    variables = {**environment, **thread_settings(layout.nproc, environment), CHECKED: "1"}
    os.execve(words[0], words, variables)
