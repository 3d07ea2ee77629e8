"""The documentation site is built without a warning, holds every page, and needs no network to be read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.browser import Page, scanlines

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md"))
OUTSIDE = [Path("CHANGELOG.md"), Path("CONTRIBUTING.md"), Path("examples/README.md")]
FETCHING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
"""Elements that make a browser fetch something, and the attribute that says what."""
NOT_FETCHED = {"canonical", "prev", "next", "alternate"}
"""What a `link` may be besides."""


def build(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "mkdocs",
            "build",
            "--strict",
            "--site-dir",
            str(folder),
            *arguments,
        ],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(folder)
    assert done.returncode == 0, f"a page is outside of the menu, or a link is dead:\n{done.stderr}"
    return folder


class Fetched(HTMLParser):
    """Collects what a page makes the browser fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in FETCHING and given.get("rel") not in NOT_FETCHED:
            self.addresses.append(given.get(FETCHING[tag]) or "")


def fetched(text: str) -> list[str]:
    parser = Fetched()
    parser.feed(text)
    return parser.addresses


def test_every_page_is_in_the_site(site: Path) -> None:
    missing = [p for p in [*PAGES, *OUTSIDE] if not (site / p.with_suffix(".html")).is_file()]
    assert [p for p in missing if p.name != "README.md"] == []
    assert (site / "index.html").is_file()
    assert (site / "examples" / "index.html").is_file()


def test_a_configuration_that_a_page_links_to_is_in_the_site(site: Path) -> None:
    page = (site / "btlm.html").read_text(encoding="utf-8")
    assert 'href="examples/cerebras/btlm-ft.yml"' in page
    assert (site / "examples" / "cerebras" / "btlm-ft.yml").is_file()


def test_a_folder_that_a_page_links_to_is_listed(site: Path) -> None:
    page = site / "deepspeed" / "index.html"
    assert 'href="zero2.json"' in page.read_text(encoding="utf-8")
    assert (site / "deepspeed" / "zero2.json").is_file()


def test_no_page_fetches_anything_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > len(PAGES)
    for page in pages:
        addresses = fetched(page.read_text(encoding="utf-8"))
        assert any(address.endswith(".css") for address in addresses), page
        assert [a for a in addresses if re.match(r"(?:[a-z]+:)?//", a)] == [], page
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert not re.search(r"""(?:url\(\s*|@import\s+)["']?(?:https?:)?//""", text), style


def test_what_is_fetched_is_seen() -> None:
    assert fetched('<script src="https://x.org/a.js"></script><a href="https://y.org">y</a>') == [
        "https://x.org/a.js"
    ]


def test_a_link_that_leads_nowhere_fails_the_build(tmp_path: Path) -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text("# A page\n\n[gone](nowhere.md)\n", "utf-8")
    config = tmp_path / "mkdocs.yml"
    config.write_text(re.sub(r"(?ms)^(hooks|nav|not_in_nav):.*?(?=^\S|\Z)", "", text), "utf-8")
    done = build(tmp_path / "site", "--config-file", str(config))
    assert done.returncode != 0
    assert "nowhere.md" in done.stderr


def test_a_browser_asks_for_nothing_but_the_site(site: Path, browser: Page) -> None:
    browser.forget()
    for name in ("index.html", "options.html", "support.html"):
        browser.open(site / name)
        assert browser.text("h1")
    assert browser.requests
    assert [r for r in browser.requests if not r.startswith(("file:", "data:", "blob:"))] == []
    assert browser.complaints == []


def test_search_works_from_the_disk(site: Path, browser: Page) -> None:
    box = "document.querySelector('[data-md-component=search-query]')"
    found = "document.querySelector('.md-search-result__list').textContent"
    browser.forget()
    browser.open(site / "index.html")
    browser.js(f"{box}.focus()")
    browser.keys("accumulation")
    for _ in range(60):  # the index is read meanwhile
        browser.js(f"{box}.dispatchEvent(new Event('keyup'))")
        browser.settle()
        if browser.js(found):
            break
    assert "Batch size and gradient accumulation" in browser.js(found)
    assert browser.complaints == []


@pytest.mark.parametrize(("width", "dark"), [(1400, False), (1400, True), (375, False)])
def test_the_site_is_drawn(site: Path, browser: Page, shots: Path, width: int, dark: bool) -> None:
    browser.forget()
    for name in ("index", "support"):
        browser.open(site / f"{name}.html", width=width, dark=dark)
        browser.js("localStorage.clear()")  # the choice of the visit before
        browser.open(site / f"{name}.html", width=width, dark=dark)
        picture = browser.screenshot()
        (shots / f"site-{name}-{width}-{'dark' if dark else 'light'}.png").write_bytes(picture)
        lines, _ = scanlines(picture)
        assert len(set(lines)) > 100, "it is not blank"
        shade = browser.js("getComputedStyle(document.body).backgroundColor.match(/\\d+/g)")
        assert (sum(map(int, shade[:3])) < 200) == dark
        assert browser.js("document.documentElement.scrollWidth") == width, "nothing sticks out"
    assert browser.complaints == []
