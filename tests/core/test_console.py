"""What the user sees, in a terminal and in a pipe."""

from __future__ import annotations

import pytest

from axolotl.core.console import note, print_pairs

LONG = "a value [in brackets] :smile: that is much longer than the others"


def test_no_blanks_end_the_lines_of_a_table_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    print_pairs("Prepared", {"rows": 8, "of what": LONG, "folder": "a/b"})
    assert capsys.readouterr().err.splitlines() == [
        "Prepared",
        "  rows       8",
        f"  of what    {LONG}",
        "  folder     a/b",
    ]


def test_a_note_in_a_pipe_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    text = "a word or two of what is going on " * 20 + "[end]"
    note(text)
    assert capsys.readouterr().err == f"{text}\n"
