"""The report of a run: what it says, of runs in every state, and how it looks in a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from datetime import datetime, timezone
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from axolotl.errors import ModelError
from axolotl.reports.report_page import report_page, state_of
from axolotl.reports.run_files import RunFiles, labels, read_run_files
from tests.browser import Page
from tests.reports.runs import HOSTILE, START, finished_run, metric_lines, write_lines

NOW = datetime(2026, 1, 2, 12, 30, tzinfo=timezone.utc)


def page_of(*folders: Path) -> str:
    runs = [
        read_run_files(folder, label=label)
        for folder, label in zip(folders, labels(list(folders)), strict=True)
    ]
    return report_page(runs, made=NOW, version="1")


def words(html: str) -> str:
    """What stands on the page, without markup, script and style."""
    body = re.sub(r"<(script|style).*?</\1>", "", html, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("runs") / "out")


def test_a_finished_run_is_told_whole(finished: Path) -> None:
    said = words(page_of(finished))
    for part in (
        "Report of out",
        "state finished",
        "method lora, r 8",
        "loss in training 2.5000",
        "2.1000 from 3.0000; lowest 2.0000 at step 30",
        "speed 107 tokens per second",
        "time 1 h 2 min",
        "peak memory 2.53 GB",
        "61 58 3 dropped: the answer is empty 2 cut 2,872 25.0% 47 76",
        "50 rows to train on in an epoch, 8 to evaluate on",
        "odd rows: </script>",
        "Name three colours. step 40",
        "step 10, cut",
        "At step 40. prompt answer of the data answer of the model",
        "checkpoint-30 30 2.0000 5.0 kB the result · lowest loss of these",
        "learning_rate 0.003 --learning_rate",
        "warmup_steps 4 implied by max_steps",
        "2 options at their defaults",
        "attention per_document",
        "torch 2.13.0",
        "made 2026-01-02 12:30 by axolotl 1",
    ):
        assert part in said, part
    for title in ("Loss", "Learning rate", "Gradient norm", "Speed", "Memory"):
        assert f"<b>{title}</b>" in page_of(finished)


def test_nothing_of_the_data_becomes_markup(finished: Path) -> None:
    html = page_of(finished)
    assert html.count("<script") == html.count("</script>") == 2
    assert "<img" not in html
    assert words(html).count(HOSTILE) > 5, "it is shown as what it is"


def test_a_killed_run_is_told_as_far_as_it_came(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    write_lines(folder / "metrics.jsonl", metric_lines(25), end='{"step": 26, "lo')
    (folder / ".started.json").write_text(json.dumps(START))
    run = read_run_files(folder)
    assert state_of(run).startswith("not finished: at step 25 of 40; last line written ")
    said = words(page_of(folder))
    assert "one line of metrics.jsonl cannot be read" in said
    assert "trained tokens 2,500" in said
    assert "learning_rate 0.003 --learning_rate" in said
    assert "2,872 25.0%" in said
    os.utime(folder / "metrics.jsonl", (0, 0))
    assert " d " in state_of(read_run_files(folder)).partition("written ")[2]


def test_a_folder_with_metrics_alone_has_its_curves(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    write_lines(folder / "metrics.jsonl", metric_lines(5, evaluations=False))
    said = words(page_of(folder))
    assert "not finished: at step 5" in said
    assert "held-out" not in said
    assert "the run ended before it wrote its run.json" in said


def test_a_stopped_run_says_so(tmp_path: Path) -> None:
    run = read_run_files(finished_run(tmp_path / "out", interrupted=True))
    assert state_of(run) == "stopped early, at step 40"


def test_what_no_run_has_written_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no run has left anything") as caught:
        read_run_files(tmp_path)
    assert caught.value.hint == "name the output_dir of a training, or its configuration"
    with pytest.raises(ModelError, match="there is no such folder"):
        read_run_files(tmp_path / "none")


@pytest.mark.parametrize("content", ["{", "[]", '"x"', "\x00"])
def test_a_broken_record_is_told_and_the_rest_is_shown(tmp_path: Path, content: str) -> None:
    folder = finished_run(tmp_path / "out")
    (folder / "run.json").write_text(content)
    said = words(page_of(folder))
    assert "run.json cannot be read" in said
    assert "lowest 2.0000 at step 30" in said


@pytest.mark.parametrize(
    "key", ["plan", "processes", "data", "config", "final", "versions", "platform"]
)
@pytest.mark.parametrize("value", [None, [], "x", {}])
def test_a_record_of_another_shape_is_shown_without_its_part(
    tmp_path: Path, key: str, value: Any
) -> None:
    assert "Loss" in words(page_of(finished_run(tmp_path / "out", **{key: value})))


def test_several_runs_stand_beside_each_other(finished: Path, tmp_path: Path) -> None:
    config = json.loads(json.dumps(START["config"]))
    config["resolved"]["learning_rate"] = 0.001
    other = finished_run(tmp_path / "other" / "out", config=config)
    html = page_of(finished, other)
    said = words(html)
    one, two = labels([finished, other])
    assert (one.endswith("/out"), two) == (True, "other/out")
    assert f"option {one} {two} learning_rate 0.003 0.001" in said
    assert "state finished finished" in said
    assert f"{two}, held-out rows" in said
    assert "Options that differ" not in words(page_of(finished))
    shutil.copytree(finished, tmp_path / "same" / "out")
    assert "Options that differ None." in words(page_of(finished, tmp_path / "same" / "out"))


def test_how_runs_were_spread_is_seen_one_by_one_and_side_by_side(
    finished: Path, tmp_path: Path
) -> None:
    spread = {"count": 16, "machines": 2, "method": "FSDP full_shard"}
    other = finished_run(tmp_path / "other" / "out", processes=spread)
    said = words(page_of(other))
    assert "processes 16 on 2 machines, FSDP full_shard" in said
    assert "processes 16 machines 2 spread by FSDP full_shard" in said
    assert "processes — 16 on 2 machines, FSDP full_shard" in words(page_of(finished, other))
    assert "spread by" not in words(page_of(finished))


def test_a_run_given_twice_is_called_the_same() -> None:
    assert labels([Path("a/out"), Path("a/out")]) == ["out", "out"]


@pytest.fixture
def tab(browser: Page, finished: Path, tmp_path: Path) -> Iterator[Page]:
    file = tmp_path / "page.html"
    file.write_text(page_of(finished), "utf-8")
    browser.forget()
    browser.open(file)
    assert browser.requests == [file.resolve().as_uri()], "it asks for nothing"
    yield browser
    assert browser.complaints == []


def test_the_pointer_on_a_curve_reads_it(tab: Page) -> None:
    quiet = tab.text(".readout")
    assert quiet == "step 1 to 40"
    tab.mouse(".chart svg")
    said = re.fullmatch(
        r"in training ([\d.]+) \(step (\d+)\) · held-out rows ([\d.]+) \(step (\d+)\)",
        tab.text(".readout"),
    )
    assert said, tab.text(".readout")
    assert 19 <= int(said[2]) <= 22, "the middle"
    assert float(said[1]) == pytest.approx(3 - int(said[2]) / 40, abs=1e-3)
    assert (said[3], said[4]) == ("2.25", "20")
    tab.mouse("h1")
    assert tab.text(".readout") == quiet


def test_the_curve_is_where_its_values_are(tab: Page) -> None:
    box = tab.js(
        "(() => { const s = document.querySelector('.chart svg').getBoundingClientRect();"
        "const p = document.querySelector('.chart path.line').getBoundingClientRect();"
        "return [(p.left - s.left) / s.width, (p.right - s.left) / s.width,"
        " (p.top - s.top) / s.height, (p.bottom - s.top) / s.height]; })()"
    )
    # The axis goes from 2 to 3; the loss from 2.975 to 2.
    assert box == pytest.approx([0, 1, 0.025, 1], abs=0.02)


@pytest.mark.parametrize(
    ("width", "dark"), [(1400, False), (1400, True), (375, False), (375, True)]
)
def test_it_is_drawn_at_every_width_and_in_the_dark(
    tab: Page, shots: Path, width: int, dark: bool
) -> None:
    tab.open(Path(tab.js("location.pathname")), width=width, dark=dark)
    assert tab.js("document.documentElement.scrollWidth") == width, "nothing sticks out"
    shade = tab.js("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (sum(shade[:3]) < 200) == dark
    clear = tab.js(
        "[...document.querySelectorAll('.area span, .readout')].every(e => e.innerText.trim() &&"
        " parseFloat(getComputedStyle(e).fontSize) >= 11)"
    )
    assert clear, "texts of the charts keep their size"
    inside = tab.js(
        "[...document.querySelectorAll('.chart')].every(c => [...c.querySelectorAll('span')].every("
        "e => e.getBoundingClientRect().right <= c.getBoundingClientRect().right + 1))"
    )
    assert inside
    (shots / f"report-{width}-{'dark' if dark else 'light'}.png").write_bytes(
        tab.screenshot(whole=True)
    )


def test_types_and_numbers_are_not_broken_in_two(tab: Page) -> None:
    tab.open(Path(tab.js("location.pathname")), width=1000)
    cells = "table.data tbody tr:first-child td:not(:first-child, :nth-child(5), :last-child)"
    lines = tab.js(
        f"[...document.querySelectorAll('{cells}')].map(cell => {{"
        "  const text = document.createRange(); text.selectNodeContents(cell);"
        "  return new Set([...text.getClientRects()].map(box => box.top)).size; })"
    )
    assert lines == [1] * 7


def read(folder: Path) -> RunFiles:
    return read_run_files(folder)


def test_only_the_last_answers_of_many_are_shown(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    write_lines(folder / "metrics.jsonl", metric_lines(1))
    rows = [{"step": n, "prompt": f"p{n % 30}", "answer": f"a{n}"} for n in range(1000)]
    write_lines(folder / "samples.jsonl", rows, end="{")
    assert [row["step"] for row in read(folder).samples][-1] == 999
    assert len(read(folder).samples) < 500
    said = words(page_of(folder))
    assert "a979" in said
    assert "10 prompts more are in samples.jsonl" in said
    long = [{"step": 1, "prompt": "p", "answer": "x" * 5000}]
    write_lines(folder / "samples.jsonl", long)
    assert "… and 3,000 characters more" in words(page_of(folder))
