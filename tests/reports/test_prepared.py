import re
from typing import Any

import pytest
from rich.console import Console

from axolotl.data.counts import Rows
from axolotl.data.report import SourceReport
from axolotl.reports.prepared import print_sources

NONE = Rows(0, ())
PATH = "/home/someone/fine-tuning/data/conversations/sharegpt_cleaned_2023-10.jsonl"


def report(name: str, **facts: Any) -> SourceReport:
    """A source of 1,000 rows of at most 256 tokens."""
    usual: dict[str, Any] = {
        "key": "datasets.0",
        "name": name,
        "format": "alpaca",
        "files": 1,
        "rows_read": 1000,
        "rows_kept": 1000,
        "split": NONE,
        "truncated": NONE,
        "dropped": {},
        "bad": {},
        "remarks": {},
        "control": NONE,
        "padded_rows": 0,
        "tokens": 123_456,
        "trained_tokens": 61_728,
        "median_tokens": 120,
        "longest_tokens": 256,
        "longest_dropped_tokens": 0,
        "lengths": ((16, 0), (32, 1), (64, 99), (128, 800), (256, 100), (2048, 0)),
    }
    return SourceReport(**usual | facts)


def printed(*reports: SourceReport, width: int) -> list[str]:
    console = Console(width=width, record=True, file=None, quiet=False)
    with console.capture() as found:
        print_sources(reports, console)
    return [line.rstrip() for line in found.get().splitlines()]


PLAIN = report("alpaca.jsonl")
FULL = report(
    PATH,
    key="datasets.1",
    rows_read=1_234_567,
    rows_kept=999_999,
    tokens=987_654_321,
    trained_tokens=1,
    split=Rows(19, ((PATH, 1),)),
    truncated=Rows(3, ((PATH, 2),)),
    dropped={
        "longer than sequence_len": Rows(7, tuple((PATH, row) for row in range(7))),
        "no trained token": Rows(1, ((PATH, 4),)),
    },
    bad={"no field 'output' [0]": Rows(1, ((PATH, 5),))},
    longest_dropped_tokens=100_233,
)


def test_columns_without_a_number_are_left_out() -> None:
    lines = printed(PLAIN, width=80)
    assert lines[:3] == [
        "",
        "Rows",
        "source         read   kept   tokens      trained  median  longest",
    ]
    assert lines[3].split() == [
        "alpaca.jsonl",
        "1,000",
        "1,000",
        "123,456",
        "61,728",
        "50%",
        "120",
        "256",
    ]


def test_lengths_are_shown_where_there_are_rows() -> None:
    lines = printed(PLAIN, width=80)
    at = lines.index("Lengths in tokens")
    assert re.split(r"\s{2,}", lines[at + 1]) == ["source", "≤ 32", "≤ 64", "≤ 128", "≤ 256"]
    assert lines[at + 2].split() == ["alpaca.jsonl", "▁<1%", "▁10%", "█80%", "▂10%"]


def test_bins_that_do_not_fit_are_one_with_the_next() -> None:
    many = tuple((16 << i, 10) for i in range(14))
    lines = printed(report("a", lengths=many), width=80)
    at = lines.index("Lengths in tokens")
    header, cells = lines[at + 1], lines[at + 2].split()
    assert header.startswith("source ≤ 2,048 ≤ 4,096")
    assert header.endswith("≤ 131,072")
    assert cells[1:] == ["█57%", *["▂7%"] * 6]


@pytest.mark.parametrize("width", [80, 120, 200])
def test_nothing_is_cut_but_names(width: int) -> None:
    lines = printed(PLAIN, FULL, width=width)
    table = lines[: lines.index("Lengths in tokens")]
    assert all(len(line) <= width for line in table)
    assert not any("…" in line[40:] for line in table) or width > 80
    (row,) = (line for line in table if "sharegpt" in line or "2023-10.jsonl" in line)
    assert row.startswith(PATH if width == 200 else "…")
    for number in ("1.23M", "999,999", "19", "3", "9", "988M", "<1%", "120", "256"):
        assert number in row.split()


def test_what_was_not_kept_as_it_is_stands_below() -> None:
    text = " ".join(line.strip() for line in printed(PLAIN, FULL, width=80))
    assert f"{PATH} dropped, longer than sequence_len: 7" in text
    assert "the longest of 100,233 tokens dropped, no trained token: 1" in text
    assert "dropped, cannot be used: no field 'output' [0]: 1" in text
    assert "cut to sequence_len: 3 (row 2, …)" in text
    assert "split into several: 19 (row 1, …)" in text


def test_a_source_without_rows_is_shown() -> None:
    gone = report(
        "a", rows_kept=0, tokens=0, trained_tokens=0, lengths=tuple((16 << i, 0) for i in range(3))
    )
    lines = printed(gone, width=80)
    assert lines[3].split() == ["a", "1,000", "0", "0", "0", "0%", "120", "256"]
    assert "Lengths in tokens" not in lines


def test_sources_of_one_file_are_told_apart() -> None:
    other = report("alpaca.jsonl", key="datasets.1", format="completion", dropped=FULL.dropped)
    lines = printed(PLAIN, other, width=80)
    for name in ("alpaca.jsonl (alpaca) ", "alpaca.jsonl (completion) "):
        assert sum(line.startswith(name) for line in lines) == 2
    assert "alpaca.jsonl (completion)" in lines, "above what was not kept of it"


@pytest.mark.parametrize("terminal", [True, False])
def test_no_blanks_end_a_line_in_a_pipe(terminal: bool) -> None:
    console = Console(width=60, force_terminal=terminal, color_system=None)
    with console.capture() as found:
        print_sources([PLAIN, FULL], console)
    lines = found.get().splitlines()
    assert any(line != line.rstrip() for line in lines) == terminal
    assert [line.rstrip() for line in lines] == printed(PLAIN, FULL, width=60)


def test_sources_that_are_only_evaluated_are_marked() -> None:
    lines = printed(PLAIN, report(PATH, key="test_datasets.0"), width=80)
    assert sum("alpaca.jsonl " in line for line in lines) == 2
    assert sum("2023-10.jsonl (evaluated)" in line for line in lines) == 2
