"""Every command block of the README and of `docs/` is run as it stands, or says why it cannot be.

`blocks.py` says how a page marks what is particular about a block, `place.py` what it is run in. What
is not run is looked up: whether the commands and options that it names exist.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from axolotl.config import load_config
from axolotl.resolve import examine
from axolotl.resolve.machine import Machine
from tests.docs.blocks import RUN, Block, blocks, dialogue, prints
from tests.docs.looked_up import unknown_words
from tests.docs.place import MODEL, ROOT, Place, copy_result, furnish

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCKS = {page: [b for b in blocks(page) if b.language in RUN] for page in PAGES}
TRAINED = "<!-- first.yml has been trained -->"
"""Stands in a page whose commands go on from the first file of the README."""
COPY = "<!-- in a copy of the repository -->"
"""Stands in a page that changes the repository."""
SERVED = "127.0.0.1:8000"
"""Where `axolotl serve` listens, in the pages; a test has it listen on any port that is free."""
WHOLE = {"base_model", "datasets", "pretraining_dataset"}
GPU = Machine(gpu=True, bf16=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [p for p in PAGES if BLOCKS[p]], ids=lambda p: p.relative_to(ROOT).as_posix()
)
def test_what_a_page_says_is_so(
    page: Path, place: Place, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    text = page.read_text(encoding="utf-8")
    furnish(tmp_path)
    if COPY in text:
        place = place.with_copy(tmp_path)
    if TRAINED in text:
        copy_result(request.getfixturevalue("made"), tmp_path)
    with ExitStack() as lasting:
        port = None
        for block in BLOCKS[page]:
            if block.lasts:
                lasting.close()
                port = lasting.enter_context(place.running(block.text, tmp_path))
            elif block.why_not is None:
                if port is not None:
                    block = replace(block, text=block.text.replace(SERVED, f"127.0.0.1:{port}"))
                _RUN[block.language](block, block.title, place, tmp_path)


@pytest.mark.parametrize(
    "page", [p for p in PAGES if BLOCKS[p]], ids=lambda p: p.relative_to(ROOT).as_posix()
)
def test_commands_and_options_exist(page: Path) -> None:
    for block in BLOCKS[page]:
        if block.language in ("bash", "console") and not block.exit_code:
            assert unknown_words(block.text) == [], block.where


def test_what_is_not_run_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """The end of a test run says how many; this one, when it is run alone, which and why."""
    every = [block for found in BLOCKS.values() for block in found]
    left_out = [(block.where, why) for block in every if (why := block.why_not) is not None]
    with capsys.disabled():
        for where, why in left_out:
            sys.stdout.write(f"\n{where} is not run: {why}")
    assert [where for where, why in left_out if not why] == [], "a reason is missing"
    assert len(left_out) < len(every) / 3


def _script(block: Block, name: str | None, place: Place, folder: Path) -> None:
    done = place.shell(block.text, folder)
    assert done.returncode == block.exit_code, f"{block.where}\n{done.stdout}"
    assert "this is a bug in axolotl" not in done.stdout, f"{block.where}\n{done.stdout}"


def _dialogue(block: Block, name: str | None, place: Place, folder: Path) -> None:
    for command, expected in dialogue(block.text):
        done = place.shell(command, folder)
        said = done.stdout.replace(str(folder), "/your/folder")
        assert done.returncode == block.exit_code, f"{block.where}: {command}\n{said}"
        assert prints(expected, said), f"{block.where}: {command} prints\n{said}"


def _change(block: Block, name: str | None, place: Place, folder: Path) -> None:
    done = place.shell(f"patch -p1 <<'END'\n{block.text}END", folder)
    assert done.returncode == 0, f"{block.where}\n{done.stdout}"


def _python(block: Block, name: str | None, place: Place, folder: Path) -> None:
    file = folder / (name or f"block_{block.line}.py")
    file.write_text(block.text, "utf-8")
    if name is not None:
        return  # a file of the copy
    done = place.shell(f"python {file.name}", folder)
    assert done.returncode == block.exit_code, f"{block.where}\n{done.stdout}"


def _configuration(block: Block, name: str | None, place: Place, folder: Path) -> None:
    if name is not None:
        (folder / name).write_text(block.text, "utf-8")
    if block.wrong:
        return
    found = yaml.safe_load(block.text)
    assert isinstance(found, dict), f"{block.where}: no mapping"
    if not found.keys() & {"base_model", "base"}:
        found = {"base_model": MODEL, **found}
    if not found.keys() & WHOLE - {"base_model"} and "base" not in found:
        found["datasets"] = [{"path": "my.jsonl", "type": "alpaca"}]
    file = folder / f"block_{block.line}.yml"
    file.write_text(yaml.safe_dump(found), "utf-8")
    findings = examine(load_config(file), machine=GPU).findings
    bad = [str(f) for f in findings if f.level != "info"]
    assert bad == [], block.where


def _rows(block: Block, name: str | None, place: Place, folder: Path) -> None:
    if name is not None:
        (folder / name).write_text(block.text, "utf-8")
        if block.wrong:
            return
    if block.language == "jsonl" or (name or "").endswith(".jsonl"):
        for line in block.text.splitlines():
            json.loads(line)
    else:
        json.loads(block.text)


_RUN: dict[str, Callable[[Block, str | None, Place, Path], None]] = {
    "bash": _script,
    "console": _dialogue,
    "diff": _change,
    "python": _python,
    "yaml": _configuration,
    "json": _rows,
    "jsonl": _rows,
}
