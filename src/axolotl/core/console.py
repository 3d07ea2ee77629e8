"""What the user sees: notes, tables and progress bars, all on standard error.

Standard output is left to results: answers, JSON. Only the first process of several speaks.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress


@cache
def console() -> Console:
    """The one console; silent on every process but the first of a machine.

    Away from a terminal, in a pipe or a file, lines are wide enough not to break paths.
    """
    from rich.console import Console

    return Console(
        stderr=True,
        highlight=False,
        width=None if sys.stderr.isatty() else 200,
        quiet=os.environ.get("LOCAL_RANK", "0") != "0",
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Say nothing on the console while the body runs."""
    before, console().quiet = console().quiet, True
    try:
        yield
    finally:
        console().quiet = before


def note(text: str) -> None:
    """One line of what is going on; only a terminal breaks it where it is too long."""
    to = console()
    to.print(text, markup=False, soft_wrap=not to.is_terminal)


_said: set[str] = set()
_said_lock = threading.Lock()


def note_once(text: str) -> None:
    """A line that is worth saying only once in a process, such as a fallback."""
    with _said_lock:
        new = text not in _said
        _said.add(text)
    if new:
        note(text)


def print_block(block: RenderableType, to: Console) -> None:
    """Print a table or paragraph; in a pipe or a file without the blanks that fill up its lines.

    Args:
        block: What is printed.
        to: Where.
    """
    from rich.text import Text

    if to.is_terminal:
        to.print(block)
        return
    with to.capture() as found:
        to.print(block)
    text = "\n".join(line.rstrip() for line in found.get().splitlines())
    to.print(Text(text), soft_wrap=True)


def print_pairs(title: str, pairs: Mapping[str, object] | Iterable[tuple[str, object]]) -> None:
    """A two-column table: what, and its value."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs.items() if isinstance(pairs, Mapping) else pairs:
        table.add_row(Text(str(name)), Text(str(value)))  # values may hold [brackets]
    print_block(table, console())


def progress(unit: str) -> Progress:
    """A progress bar with the count, the speed in `unit` per second, and the time left."""
    from rich import progress as bars

    return bars.Progress(
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TextColumn(unit),
        bars.TimeElapsedColumn(),
        bars.TextColumn("left"),
        bars.TimeRemainingColumn(),
        bars.TextColumn("{task.fields[info]}"),
        console=console(),
        transient=False,
    )
