"""Run every cell of the support table and write what was found: `make support`.

    python -m tests.support.run [--column NAME]... [row ...]

With names of rows or columns, only those are run anew. Each row is a process of its own, two at a time. A cell
in which something runs without its effect, or fails, is written down as a fault, so that the page
says so.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click

WORKERS = 2
FILE = Path(__file__).resolve().parents[2] / "docs" / "support.json"
Cells = dict[str, dict[str, str]]


def found_in_row(name: str, columns: Sequence[str], folder: Path, data: Path) -> Cells:
    """Run some cells of a row."""
    from tests.support.case import Case, Outcome
    from tests.support.columns import COLUMNS, outcome

    case = Case(name, folder, data)
    cells: Cells = {}
    for column in COLUMNS:
        if columns and column not in columns:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = outcome(case, column)
        except Exception as error:  # noqa: BLE001  whatever it is, the page has to say it
            lines = str(error).strip().splitlines() or [""]
            found = Outcome("fault", f"{type(error).__name__}: {lines[0]}")
        cells[column] = asdict(found)
    return cells


def _in_process(name: str, columns: Sequence[str], folder: str) -> tuple[Cells, dict[str, str]]:
    import tests.conftest  # noqa: F401  offline, before a library is imported

    sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123  what trainings say of themselves
    import torch

    torch.set_num_threads(1)
    # A store of its own for each row: two at once would wait for each other.
    cells = found_in_row(name, columns, Path(folder), Path(folder) / "data" / name)
    return cells, column_texts()


def column_texts() -> dict[str, str]:
    """What each column stands for."""
    from axolotl.registry import load
    from tests.support.columns import COLUMNS, METHODS

    texts = {}
    for name in COLUMNS:
        about: Any = METHODS.get(name) or load("axolotl.attention", name)
        texts[name] = (about.__doc__ or "").strip().splitlines()[0]
    return texts


@click.command()
@click.option("--column", "columns", multiple=True)
@click.argument("wanted", metavar="ROW", nargs=-1)
def main(wanted: Sequence[str], columns: Sequence[str]) -> None:
    """Run the cells that are asked for, all by default, and write the file after each row."""
    from tests.support.rows import rows

    known = rows()
    before: dict[str, Any] = json.loads(FILE.read_text("utf-8"))["rows"] if FILE.exists() else {}
    table: dict[str, Cells] = {name: row["cells"] for name, row in before.items() if name in known}
    chosen = [name for name in wanted if name in known] or list(known)
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool,
    ):
        waiting = {pool.submit(_in_process, name, columns, folder): name for name in chosen}
        for done in as_completed(waiting):
            name, (cells, texts) = waiting[done], done.result()
            _say(name, cells)
            cells = {**table.get(name, {}), **cells}
            table[name] = {column: cells[column] for column in texts if column in cells}
            titled = {key: (known[key].facts.title, table[key]) for key in known if key in table}
            _write(titled, texts)


def _say(name: str, cells: Cells) -> None:
    click.echo(f"{name}: {dict(Counter(cell['state'] for cell in cells.values()))}")
    for column, cell in cells.items():
        if cell["state"] == "fault":
            click.echo(f"  {column}: {cell['said']}")


def _write(table: dict[str, tuple[str, Cells]], texts: dict[str, str]) -> None:
    found = {name: {"title": title, "cells": cells} for name, (title, cells) in table.items()}
    text = json.dumps({"columns": texts, "rows": found}, indent=1, ensure_ascii=False)
    FILE.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
