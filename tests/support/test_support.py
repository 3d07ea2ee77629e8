"""Each cell of the support table does what `docs/support.md` says: every family by every method."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest

from axolotl.resolve.machine import this_machine
from tests.support.case import Case, Outcome
from tests.support.columns import COLUMNS, METHODS, outcome
from tests.support.rows import rows
from tests.support.run import FILE, column_texts

RECORDED = json.loads(FILE.read_text(encoding="utf-8"))
QUICK = "llama"
"""The row that is run with the fast tests."""


def _cells() -> list[object]:
    slow = pytest.mark.slow
    return [
        pytest.param(row, column, id=f"{row}-{column}", marks=() if row == QUICK else slow)
        for row in rows()
        for column in COLUMNS
    ]


@pytest.fixture(scope="module")
def case_of(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Gives the case of a row, whose models and data all its cells share."""
    folder = tmp_path_factory.mktemp("support")
    return cache(lambda row: Case(row, folder, folder / "data"))


@pytest.mark.parametrize(("row", "column"), _cells())
def test_the_cell_is_as_the_page_says(case_of: object, row: str, column: str) -> None:
    said = Outcome(**RECORDED["rows"][row]["cells"][column])
    try:
        found = outcome(case_of(row), column)  # pyright: ignore[reportCallIssue]
    except Exception as error:
        if said.state != "fault":
            raise
        found = Outcome("fault", f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}")
    if said.state == "needs" and found.state == "runs":
        assert this_machine().gpu, "it runs here, and the page says that it needs what is not here"
        return
    assert found == said, "run `make support`, and look at what changes"


def test_the_table_is_whole() -> None:
    assert list(RECORDED["rows"]) == list(rows())
    for row, entry in RECORDED["rows"].items():
        assert list(entry["cells"]) == list(COLUMNS), row
        assert entry["title"] == rows()[row].facts.title
    assert RECORDED["columns"] == column_texts()


def test_what_runs_everywhere_runs() -> None:
    """A method that is refused by mistake would be written down as refused."""
    for row, entry in RECORDED["rows"].items():
        isolated = rows()[row].facts.isolation != "none"
        for column in ("fp32", "bf16", "LoRA") if isolated else ("fp32", "bf16"):
            assert entry["cells"][column]["state"] == "runs", f"{row}: {column}"
        assert any(
            entry["cells"][name]["state"] == "runs" for name in COLUMNS if name not in METHODS
        )


def test_a_family_that_has_no_file_is_no_row() -> None:
    folder = Path(__file__).resolve().parents[2] / "src" / "axolotl" / "architectures"
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert files
    titles = {entry["title"] for entry in RECORDED["rows"].values()}
    assert len(titles) == len({name for name in files if not name.startswith("_")})
