"""The page of the preview, in a real browser: what a person sees, clicks and types."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from axolotl.config.load import load_config
from axolotl.data.encoder import Encoder
from axolotl.data.prepare import open_parts
from axolotl.data.tokenize import Limits
from axolotl.reports.preview import PreviewRow, summarise
from axolotl.reports.preview_page import MOST_CHARACTERS, MOST_TOKENS, PageFacts, packs, page
from axolotl.reports.preview_rows import preview_rows
from tests.browser import Page, scanlines
from tests.conftest import build_tokenizer

HOSTILE = '</script><script>alert(1);document.title="taken"</script><img src=x onerror=alert(2)>'
ROWS = [
    {"instruction": "Name a colour.", "input": "It must be warm.", "output": "Red,\tof course."},
    {"instruction": HOSTILE, "output": "<!-- <script> ]]>"},
    {"instruction": "Name a colour.", "output": ""},
    {"instruction": "Describe a zebra. " * 30, "output": "Striped."},
    {"instruction": "No answer is here."},
    {"instruction": "Translate: mountain", "output": "山 und 👩 \u202e reversed"},
]
LONG = [{"text": "Red, green and blue. " * 60}, {"text": "Yes."}]
TOKENS = [{"input_ids": [40, 41, 2], "labels": [-100, 0, 2]}]
LIMIT = 300
FACTS = PageFacts(
    config="a.yml",
    model="a-model <b>",
    tokenizer="tiny, 400 tokens",
    made="2026-01-01 12:00 UTC",
    version="1",
    sequence_len=LIMIT,
    capacity_tokens=2 * LIMIT,
    seed=42,
    first_rows=50,
)


def rows_of(folder: Path, *files: tuple[str, list[Any], str | None]) -> list[PreviewRow]:
    datasets = []
    for name, rows, kind in files:
        file = folder / name
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        datasets.append({"path": str(file), "type": kind})
    encoder = Encoder(build_tokenizer())
    parts = open_parts(load_config({"base_model": "a-model", "datasets": datasets}), encoder)
    return preview_rows(parts, encoder, Limits(LIMIT), first_rows=5000)


def page_of(rows: list[PreviewRow], facts: PageFacts = FACTS) -> str:
    tokenizer = build_tokenizer()
    return page(rows, facts, tokenizer=tokenizer, encoder=Encoder(tokenizer))


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[PreviewRow]:
    folder = tmp_path_factory.mktemp("rows")
    return rows_of(
        folder,
        ("a.jsonl", ROWS, "alpaca"),
        ("long.jsonl", LONG, "completion"),
        ("tokens.jsonl", TOKENS, None),
    )


@pytest.fixture(scope="module")
def file(rows: list[PreviewRow], tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("page") / "page.html"
    found.write_text(page_of(rows), "utf-8")
    return found


@pytest.fixture
def tab(browser: Page, file: Path) -> Iterator[Page]:
    browser.forget()
    browser.open(file)
    yield browser
    assert browser.complaints == []


def cards(tab: Page) -> list[str]:
    """Headings of the cards that are to be seen."""
    return tab.js(
        "[...document.querySelectorAll('main > section:not([hidden]) > article:not([hidden]) h2')]"
        ".map(head => head.textContent)"
    )


def set_value(tab: Page, name: str, value: str) -> None:
    where = f"document.getElementById({json.dumps(name)})"
    tab.js(f"{where}.value = {json.dumps(value)}; {where}.dispatchEvent(new Event('input'))")


def test_the_page_shows_every_row_and_asks_for_nothing(tab: Page, file: Path) -> None:
    assert cards(tab) == [
        *(f"a.jsonl · row {n}" for n in range(1, 7)),
        "long.jsonl · row 1",
        "long.jsonl · row 2",
        "tokens.jsonl · row 1",
    ]
    assert tab.text("#count").startswith("9 of 9 rows · ")
    assert tab.js("document.title") == "Preview of a.yml"
    for words in ("a-model <b>", "tiny, 400 tokens", "2026-01-01 12:00 UTC", "up to 600 tokens"):
        assert words in tab.text("dl")
    assert tab.requests == [file.resolve().as_uri()]


def test_markup_in_a_row_stays_text(tab: Page) -> None:
    card = tab.js("[...document.querySelectorAll('article')][1].innerText")
    assert "</script>" in card.replace("\n", "")
    assert "alert(1)" in card
    tab.mouse("article:nth-of-type(2) summary", click=True)
    assert json.dumps(HOSTILE) in tab.text("article:nth-of-type(2) pre")
    assert tab.js("document.title") == "Preview of a.yml"
    assert tab.js("document.querySelectorAll('img').length") == 0
    assert tab.js("document.scripts.length") == 3


def test_its_policy_lets_nothing_else_run_or_load(browser: Page, file: Path) -> None:
    browser.open(file)
    browser.requests.clear()
    browser.js(
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran=1\">')"
    )
    browser.js(
        "document.body.append(Object.assign(document.createElement('script'), {text: 'window.ran=1'}))"
    )
    browser.js("fetch('http://127.0.0.1:9/').catch(() => 0)")
    browser.settle()
    assert browser.js("window.ran") is None
    assert all("127.0.0.1" not in url for url in browser.requests)
    assert len(browser.complaints) >= 3


def test_trained_tokens_are_told_from_masked_ones_by_more_than_colour(tab: Page) -> None:
    trained = "article:first-of-type .t.on"
    assert tab.js(
        f"[...document.querySelectorAll('{trained}')].map(t => t.innerText).join('')"
    ) in (
        "Red,\tof course.</s>",
        "Red,\tof course.</s> ■",
    )
    line = "getComputedStyle(document.querySelector('{}')).borderBottomStyle"
    assert tab.js(line.format(trained)) == "solid"
    assert tab.js(line.format("article:first-of-type .t:not(.on)")) == "none"
    ends = tab.js(
        "[...document.querySelectorAll('article:first-of-type .eos')].map(t => t.className)"
    )
    assert ends == ["t on sp eos"]
    borders = "[...document.querySelectorAll('article:first-of-type .seg')].map(s => s.title)"
    assert tab.js(borders) == ["segment 1 of 2, masked", "segment 2 of 2, trained"]


def test_whitespace_and_odd_characters_are_to_be_seen(tab: Page) -> None:
    count = "document.querySelectorAll('article:first-of-type i.{}').length"
    assert tab.js(count.format("tab")) == 1
    assert tab.js(count.format("n")) > 4
    assert tab.js(count.format("s")) > 10
    sign = "getComputedStyle(document.querySelector('article i.{}'), '::before').content"
    assert [tab.js(sign.format(kind)) for kind in ("s", "n", "tab")] == ['"·"', '"⏎"', '"→"']
    assert "U+202E" in tab.js("document.querySelectorAll('article')[5].innerText")


def test_a_character_of_several_tokens_is_shown_once(tab: Page) -> None:
    tab.js("document.querySelectorAll('article')[5].scrollIntoView()")
    tab.settle()
    shown = tab.js("document.querySelectorAll('article')[5].querySelector('.toks').innerText")
    assert "山₂₃" in shown
    assert "👩₂₃₄" in shown
    tab.mouse("article:nth-of-type(6) .t.part")
    assert "part 2 of 3 tokens that share this text" in tab.text("#tip")
    assert '"山"' in tab.text("#tip")


def test_a_token_tells_what_it_is(tab: Page, rows: list[PreviewRow]) -> None:
    tab.mouse("article:first-of-type .t.on")
    token = rows[0].input_ids[rows[0].segment_of.index(1)]
    said = tab.text("#tip")
    assert f"id {token} · label {token}, trained" in said
    assert f"of {len(rows[0].input_ids)} · segment 2, trained" in said
    tab.js("document.querySelector('article .t').focus()")
    assert f"id {rows[0].input_ids[0]} · label -100, masked" in tab.text("#tip")
    tab.keys("ArrowRight")
    assert f"id {rows[0].input_ids[1]} " in tab.text("#tip")
    tab.keys("End")
    assert "special token, ends" in tab.text("#tip")
    assert tab.js("document.activeElement.innerText").startswith("</s>")
    tab.keys("Escape")
    assert tab.js("document.getElementById('tip').hidden") is True


def test_a_label_of_its_own_is_told(tab: Page) -> None:
    assert "id 40 · label -100, masked" in _tip_of(tab, 8, ".t")
    assert "id 41 · label 0, trained" in _tip_of(tab, 8, ".t.on")
    assert "segment" not in tab.text("#tip")


def test_where_a_row_is_cut(tab: Page) -> None:
    dropped = tab.js("document.querySelectorAll('article')[3].innerText")
    assert "dropped: longer than sequence_len" in dropped
    assert "sequence_len of 300 ends here" in dropped
    assert tab.js("document.querySelectorAll('article')[3].querySelectorAll('.gone').length") > 0
    assert tab.js("document.querySelectorAll('article')[0].querySelectorAll('.gone').length") == 0
    tab.js("document.querySelectorAll('article')[6].scrollIntoView()")
    tab.settle()
    split = tab.js("document.querySelectorAll('article')[6].innerText")
    assert "split into" in split
    assert "split here: row 2 of" in split
    assert "not trained: nothing stands before it" in _tip_of(tab, 6, ".t.first")


def _tip_of(tab: Page, card: int, selector: str) -> str:
    there = f"document.querySelectorAll('article')[{card}]"
    tab.js(f"{there}.scrollIntoView()")
    tab.settle()
    tab.js(f"{there}.querySelector('{selector}').focus()")
    return tab.text("#tip")


def test_a_bad_row_says_what_is_wrong(tab: Page) -> None:
    card = tab.js("document.querySelectorAll('article')[4].innerText")
    assert "bad: no field 'output'" in card
    assert "hint: " in card
    assert "tokens" not in card.partition("bad:")[0]


def test_the_filters(tab: Page) -> None:
    tab.mouse("label:has(#lost)", click=True)
    assert cards(tab) == ["a.jsonl · row 3", "a.jsonl · row 4", "a.jsonl · row 5"]
    assert tab.text("#count").startswith("3 of 9 rows")
    tab.mouse("label:has(#untrained)", click=True)
    assert cards(tab) == ["a.jsonl · row 3"]
    tab.mouse("label:has(#lost)", click=True)
    tab.mouse("label:has(#untrained)", click=True)
    set_value(tab, "source", "1")
    assert cards(tab) == ["long.jsonl · row 1", "long.jsonl · row 2"]
    set_value(tab, "most", "100")
    assert cards(tab) == ["long.jsonl · row 2"]
    set_value(tab, "most", "")
    set_value(tab, "least", "100")
    assert cards(tab) == ["long.jsonl · row 1"]


def test_the_search(tab: Page) -> None:
    tab.keys("/", "OF course")
    assert cards(tab) == ["a.jsonl · row 1"]
    hits = tab.js("[...document.querySelectorAll('.hit')].map(t => t.textContent).join('')")
    assert "of course" in hits
    tab.keys("Escape")
    assert cards(tab) == ["a.jsonl · row 1"], "leaving the field keeps what was typed"
    set_value(tab, "search", "no answer")
    tab.settle()
    assert cards(tab) == ["a.jsonl · row 5"], "the source of a bad row is searched"
    set_value(tab, "search", "nowhere at all")
    tab.settle()
    assert cards(tab) == []
    assert tab.text("#count").startswith("0 of 9 rows · 0 tokens")


def test_from_row_to_row_by_keys(tab: Page) -> None:
    now = "document.querySelector('article.now h2').textContent"
    tab.keys("j", "j")
    assert tab.js(now) == "a.jsonl · row 2"
    tab.keys("k")
    assert tab.js(now) == "a.jsonl · row 1"
    tab.mouse("label:has(#lost)", click=True)
    tab.keys("j", "j")
    assert tab.js(now) == "a.jsonl · row 4"


def test_as_packed(tab: Page, rows: list[PreviewRow]) -> None:
    expected = packs(rows, FACTS)
    tab.mouse("#as-packed", click=True)
    assert cards(tab) == [f"packed row {n + 1}" for n in range(len(expected))]
    parts = "[...document.querySelectorAll('main section:last-child article')].map(card => card.querySelectorAll('.bar button').length)"
    assert tab.js(parts) == [len(pack) for pack in expected]
    several = next(i for i, pack in enumerate(expected) if len(pack) > 1)
    card = f"section:last-child article:nth-of-type({several + 1})"
    tab.mouse(f"{card} summary", click=True)
    borders = tab.js(f"[...document.querySelectorAll('{card} .between')].map(b => b.textContent)")
    assert [text[:10] for text in borders] == [
        f"document {n + 1}" for n in range(len(expected[several]))
    ]
    shown = tab.js(f"document.querySelectorAll('{card} .t').length")
    sizes = [rows[i].pieces[k].end - rows[i].pieces[k].begin for i, k in expected[several]]
    assert shown == sum(sizes)
    tab.mouse(f"{card} .bar button", click=True)
    first = rows[expected[several][0][0]]
    assert tab.js("document.querySelector('article.now h2').textContent").endswith(
        f"{Path(first.dataset).name} · row {first.source_row}"
    )
    assert tab.js("document.getElementById('as-rows').getAttribute('aria-pressed')") == "true"


def test_plots_and_counts_of_each_source(tab: Page) -> None:
    lines = tab.js("[...document.querySelectorAll('tbody tr')].map(line => line.innerText)")
    assert len(lines) == 3
    assert "1 dropped: no trained token" in lines[0]
    assert "1 dropped: longer than sequence_len" in lines[0]
    assert "1 bad" in lines[0]
    assert "1 split" in lines[1]
    assert tab.js("document.querySelectorAll('tbody svg').length") == 6
    assert tab.js("document.querySelectorAll('tbody svg path.line').length") == 3
    assert tab.js("document.querySelector('tbody rect.over').getBoundingClientRect().height") > 1


@pytest.mark.parametrize("source", [None, 0, 1, 2])
def test_the_line_of_the_filters_counts_as_the_table_does(
    tab: Page, rows: list[PreviewRow], source: int | None
) -> None:
    mine = [row for row in rows if source is None or row.entry == f"datasets.{source}"]
    found, whole = summarise(mine), sum(len(row.input_ids) for row in mine)
    if source is not None:
        set_value(tab, "source", str(source))
        cells = f"[...document.querySelectorAll('tbody tr')][{source}].querySelectorAll('td')"
        assert tab.js(f"{cells}[2].innerText") == f"{found['tokens']:,}"
    words = tab.text("#count").split(" · ")
    gone = whole - found["tokens"]
    assert words[1] == f"{found['tokens']:,} tokens" + (
        f", and {gone:,} not in the data" if gone else ""
    )
    assert words[2] == f"{100 * found['trained_tokens'] / found['tokens']:.1f} % trained"
    assert bool(gone) == (source in (None, 0))


@pytest.mark.parametrize(("width", "dark"), [(1400, False), (1400, True), (375, False)])
def test_it_is_drawn(browser: Page, file: Path, shots: Path, width: int, dark: bool) -> None:
    browser.open(file, width=width, dark=dark)
    picture = browser.screenshot()
    (shots / f"preview-{width}-{'dark' if dark else 'light'}.png").write_bytes(picture)
    lines, corner = scanlines(picture)
    assert len(set(lines)) > 100, "it is not blank"
    assert (sum(corner) < 200) == dark
    assert browser.js("document.documentElement.scrollWidth") == width, "nothing sticks out"


def test_some_thousand_rows(browser: Page, tmp_path: Path) -> None:
    many = [{"text": f"Number {n}: red, green and blue."} for n in range(4000)]
    file = tmp_path / "many.html"
    file.write_text(page_of(rows_of(tmp_path, ("many.jsonl", many, "completion"))), "utf-8")
    browser.open(file)
    assert browser.text("#count").startswith("4,000 of 4,000 rows")
    assert 0 < browser.js("document.querySelectorAll('.t').length") < 10_000, "drawn when seen"
    browser.keys("/", "number 3999:")
    assert cards(browser) == ["many.jsonl · row 4,000"]
    assert "Number 3999" in browser.js(
        "document.querySelector('article:not([hidden]) .toks').innerText.replace(/\\u00a0/g, ' ')"
    )


def test_no_data_can_end_the_data_block(rows: list[PreviewRow]) -> None:
    data = page_of(rows).partition('id="data">')[2].partition("</script>")[0]
    assert json.loads(data)["rows"][1]["row"] == json.dumps(ROWS[1], indent=2)
    assert not set("<>&") & set(data)


def test_without_packing_there_are_no_packs(rows: list[PreviewRow]) -> None:
    assert packs(rows, replace(FACTS, capacity_tokens=None)) == []
    assert packs([row for row in rows if not row.pieces], FACTS) == []
    found = packs(rows, FACTS)
    pieces = [(i, k) for i, row in enumerate(rows) for k in range(len(row.pieces))]
    assert sorted(pair for pack in found for pair in pack) == pieces


def test_rows_that_are_only_evaluated_are_not_packed(rows: list[PreviewRow]) -> None:
    others = [
        replace(row, entry="test_datasets.0") if row.entry != "datasets.1" else row for row in rows
    ]
    data = page_of(others).partition('id="data">')[2].partition("</script>")[0]
    kinds = [source["type"] for source in json.loads(data)["sources"]]
    assert kinds == ["alpaca, to evaluate on", "completion", "tokens, to evaluate on"]
    packed = {i for pack in packs(others, FACTS) for i, _ in pack}
    assert packed == {i for i, row in enumerate(others) if row.entry == "datasets.1"}


def test_packing_one_row_after_the_other_is_shown_as_such(rows: list[PreviewRow]) -> None:
    found = packs(rows, replace(FACTS, sequential=True))
    assert sorted(pair for pack in found for pair in pack) == sorted(
        pair for pack in packs(rows, FACTS) for pair in pack
    )
    assert found != packs(rows, FACTS)
    in_order = packs(rows, replace(FACTS, sequential=True, shuffle=False))
    assert [pair for pack in in_order for pair in pack] == sorted(
        pair for pack in found for pair in pack
    )


def test_what_is_too_long_for_a_page_is_counted(tmp_path: Path) -> None:
    book = [{"text": "a b c " * MOST_TOKENS}]
    (row,) = json.loads(
        page_of(rows_of(tmp_path, ("book.jsonl", book, "completion")))
        .partition('id="data">')[2]
        .partition("</script>")[0]
    )["rows"]
    assert len(row["ids"]) == MOST_TOKENS
    assert row["tokens"] > MOST_TOKENS
    assert row["row"].endswith(" characters more")
    assert len(row["row"]) < MOST_CHARACTERS + 50
