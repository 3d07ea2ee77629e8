"""The place in which the commands of the pages are run, built once."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import blocks
from tests.docs.place import ROOT, Place, furnish, opened_place


@pytest.fixture(scope="session")
def place() -> Iterator[Place]:
    # A socket's path may not be as long as those of pytest.
    with tempfile.TemporaryDirectory() as short, opened_place(Path(short)) as found:
        yield found


@pytest.fixture(scope="session")
def made(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the first file of the README has been trained."""
    folder = tmp_path_factory.mktemp("made")
    furnish(folder)
    first = next(b for b in blocks(ROOT / "README.md") if b.language == "yaml")
    (folder / "first.yml").write_text(first.text, "utf-8")
    done = place.shell("axolotl train first.yml", folder)
    assert done.returncode == 0, done.stdout
    return folder
