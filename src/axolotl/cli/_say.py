"""Errors and findings on standard error: where, what, the way out.

Plain text is `file.yml:7: …`, which editors make a link of; a terminal gets colours besides.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from axolotl.errors import AxolotlError, ConfigErrors

if TYPE_CHECKING:
    from axolotl.records import Finding

COLOURS = {"error": "red", "warning": "yellow", "info": "cyan"}


def paint(text: str, **style: Any) -> str:
    """`text` in colour, unless the user wants none; what is no terminal gets none anyway."""
    return text if os.environ.get("NO_COLOR") else click.style(text, **style)


def problems_of(error: AxolotlError) -> Sequence[AxolotlError]:
    """The single problems that an error tells of."""
    return error.problems if isinstance(error, ConfigErrors) else [error]


def say_error(error: AxolotlError) -> None:
    """One message for each problem of an error, and for what there is to say besides.

    Of what is wrong with a file, the first process of a machine speaks for all of them.
    """
    if isinstance(error, ConfigErrors) and _another_speaks():
        return
    for problem in problems_of(error):
        _say("error", problem.where, problem.what, problem.hint)
    if isinstance(error, ConfigErrors):
        say_findings(error.remarks)


def say_findings(findings: Iterable[Finding]) -> None:
    """One message for each finding; silent on every process but the first of a machine.

    Silent, too, where the launcher of the processes has said it.
    """
    if _another_speaks() or os.environ.get("AXOLOTL_CHECKED"):
        return
    for finding in findings:
        where = None if finding.where == "default" else finding.where
        _say(finding.level, where, finding.message, finding.hint)


def _another_speaks() -> bool:
    """Whether this is not the first of several processes of a machine."""
    task = os.environ.get("SLURM_LOCALID", "0") if "SLURM_STEP_ID" in os.environ else "0"
    return os.environ.get("LOCAL_RANK", task) != "0"


def _say(level: str, where: str | None, what: str, hint: str | None) -> None:
    colour = COLOURS[level]
    place = paint(f"{where}: ", fg=colour, bold=True) if where else ""
    # A place alone says error enough; without one the word is needed.
    label = "" if where and level == "error" else paint(f"{level}: ", fg=colour)
    advice = paint(f"\n  hint: {hint}", dim=True) if hint else ""
    click.echo(f"{place}{label}{what}{advice}", err=True)
