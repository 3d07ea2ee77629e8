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
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
DOCS = "docs/"
FIRST = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/README.md")
"""Pages outside of `docs/` that the menu names."""
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
        if not path.startswith(DOCS):
            files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
        if path.endswith(".md"):
            text = (ROOT / path).read_text(encoding="utf-8")
            waiting += (target for target in _targets(text, path) if (ROOT / target).is_file())
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Make links lead to where their files are in the site."""
    here = page.file.src_uri
    path = here if page.file.generated_by else DOCS + here

    def moved(match: re.Match[str]) -> str:
        target = _target(match["to"], path)
        if (ROOT / target).is_dir():
            target = next(
                f"{target}/{name}" for name in ("README.md", "") if _is_file(target, name)
            )
        away = posixpath.relpath(target.removeprefix(DOCS), posixpath.dirname(here) or ".")
        return away + (match["anchor"] or "")

    return _LINK.sub(moved, markdown)


def _is_file(folder: str, name: str) -> bool:
    return not name or (ROOT / folder / name).is_file()


def _targets(text: str, path: str) -> Iterator[str]:
    """Paths in the repository that a page links to."""
    for match in _LINK.finditer(text):
        yield _target(match["to"], path)


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
