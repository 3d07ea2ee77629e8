"""The files around the code say what is true: version, links, examples, exported names."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

import axolotl

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples" / "quickstart").glob("*.yml"))
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")


def test_one_version_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    newest = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest
    assert axolotl.__version__ == project["version"] == newest[1]


def test_files_that_are_no_code_are_in_the_package() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    package = ROOT / "src" / "axolotl"
    packed = {
        file for pattern in setuptools["package-data"]["axolotl"] for file in package.glob(pattern)
    }
    others = {file for file in package.rglob("*") if file.is_file() and ".py" not in file.suffix}
    assert len(others) > 4
    assert {str(file) for file in others - packed} == set()


def test_every_exported_name_is_there() -> None:
    assert axolotl.__all__ == sorted(axolotl.__all__)
    for name in axolotl.__all__:
        assert callable(getattr(axolotl, name)), name


def test_a_name_that_is_not_exported_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = axolotl.trian


def test_the_pages_are_found() -> None:
    names = {page.relative_to(ROOT).as_posix() for page in PAGES}
    assert names >= {"README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/options.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for link in LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in _anchors(target), f"{page.name}: no heading for {link}"


def _anchors(page: Path) -> set[str]:
    """What a heading's link is called on a hosted page: lower case, hyphens, no punctuation."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_examples_are_found() -> None:
    assert len(EXAMPLES) >= 2


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_example_passes_the_check(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from axolotl.config import load_config
    from axolotl.resolve import resolve

    monkeypatch.chdir(ROOT)
    resolved = resolve(load_config(example))
    assert [finding for finding in resolved.findings if finding.level == "error"] == []


@pytest.mark.parametrize(
    ("script", "name"),
    [
        ("generate", "options"),
        ("generate", "rules"),
        ("dataset_types", "dataset_types"),
        ("optimizers", "optimizers"),
        ("support", "support"),
    ],
)
def test_a_generated_page_is_current(script: str, name: str) -> None:
    page = runpy.run_path(str(ROOT / "docs" / f"{script}.py"))[f"{name}_page"]()
    assert (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") == page, "run `make docs`"
