"""`axolotl report`: where the page is written, and what is said on the way."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from axolotl.cli import report
from tests.reports.runs import finished_run


def run(*arguments: str) -> Result:
    return CliRunner().invoke(report.main, list(arguments))


def test_the_page_lies_in_the_folder_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    finished_run(Path("out"))
    result = run("out")
    assert (result.exit_code, result.stdout) == (0, f"{Path('out/report.html')}\n")
    assert "out: finished" in result.stderr
    assert Path("out/report.html").read_text("utf-8").startswith("<!doctype html>")
    Path("a.yml").write_text("base_model: m\noutput_dir: out\n")
    assert run("a.yml", "--out", "b.html").stdout == "b.html\n"
    assert "Report of out" in Path("b.html").read_text("utf-8")


def test_several_runs_have_one_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    finished_run(Path("one"))
    finished_run(Path("two"))
    assert run("one", "two").stdout == "report.html\n"
    assert "Report of one and two" in Path("report.html").read_text("utf-8")


def test_a_folder_without_a_run_ends_in_two(tmp_path: Path) -> None:
    result = run(str(tmp_path))
    assert result.exit_code == 2
    assert "no run has left anything" in result.stderr
    assert run(str(tmp_path / "none")).exit_code == 2
    assert run().exit_code == 2
