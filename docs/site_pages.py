"""Hooks of mkdocs: what the documentation site has besides the pages of this folder.

Pages are written to be read in the repository, so they link to files outside of `docs/`:
configurations, the README, tests. In the site such a file lies under its path in the repository, a
page of `docs/` at the top. A file that is linked to goes into the site, and so on from there.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
DOCS = "docs/"
FIRST = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/README.md")
"""Pages outside of `docs/` that the menu names."""
_LISTING = "index.md"
_LINK = re.compile(r"(?<=\]\()(?P<to>[^)\s#:]+)(?P<anchor>#[^)\s]*)?(?=\))")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Leave out of the menu what does not exist, and spell out the folders in it."""
    config.nav = _there(config.nav or [])
    return config


def on_post_build(config: MkDocsConfig) -> None:
    """Write what search looks in as a script too: a page on the disk may not read files."""
    folder = Path(config.site_dir) / "search"
    index = (folder / "search_index.json").read_text(encoding="utf-8")
    (folder / "search_index.js").write_text(f"var __index = {index}", encoding="utf-8")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages outside of `docs/`, and what they and the others link to."""
    waiting = [*FIRST, *(DOCS + file.src_uri for file in files.documentation_pages())]
    seen: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        if (ROOT / path).is_dir():
            text = _listing(path)
            path = f"{path}/{_LISTING}"
            unlisted = InclusionLevel.NOT_IN_NAV
            files.append(File.generated(config, path, content=text, inclusion=unlisted))
        else:
            text = (ROOT / path).read_text(encoding="utf-8") if path.endswith(".md") else ""
            if not path.startswith(DOCS):
                files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
        waiting += (target for target in _targets(text, path) if (ROOT / target).exists())
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Make links lead to where their files are in the site."""
    here = page.file.src_uri
    path = here if page.file.generated_by else DOCS + here

    def moved(match: re.Match[str]) -> str:
        target = _page_of(_target(match["to"], path))
        if (ROOT / target).is_dir():
            target = f"{target}/{_LISTING}"
        away = posixpath.relpath(target.removeprefix(DOCS), posixpath.dirname(here) or ".")
        return away + (match["anchor"] or "")

    return _LINK.sub(moved, markdown)


def _page_of(path: str) -> str:
    """The page of a folder that has one; other paths as they are."""
    page = f"{path}/README.md"
    return page if (ROOT / page).is_file() else path


def _listing(folder: str) -> str:
    """A page of the files in a folder that has none."""
    names = sorted(file.name for file in (ROOT / folder).iterdir() if file.is_file())
    return f"# {folder}\n\n" + "".join(f"- [{name}]({name})\n" for name in names)


def _targets(text: str, path: str) -> Iterator[str]:
    """Paths in the repository that a page links to."""
    for match in _LINK.finditer(text):
        yield _page_of(_target(match["to"], path))


def _target(link: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), link))


def _there(entry: Any) -> Any:
    """An entry of the menu without the files that do not exist."""
    if isinstance(entry, list):
        return [found for one in entry if (found := _there(one))]
    if isinstance(entry, dict):
        return {name: found for name, part in entry.items() if (found := _there(part))}
    if entry.endswith("/"):
        pages = sorted((ROOT / DOCS / entry).glob("*.md"))
        listed: list[Any] = [page.relative_to(ROOT / DOCS).as_posix() for page in pages]
        return {entry.strip("/").capitalize(): listed} if listed else None
    return entry if (ROOT / DOCS / entry).is_file() or entry in FIRST else None
