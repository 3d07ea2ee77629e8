"""What pages say in tables, and no command shows: names of options, extras, and one message."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import fields

import pytest
from transformers import TrainingArguments

from axolotl.cli._exit import as_fault
from tests.docs.blocks import blocks
from tests.docs.place import ROOT
from tests.option_keys import option_keys

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DOCS = ROOT / "docs"
OPTIONS = {part for key in option_keys() for part in key.split(".")}
VALUES = {
    "true",
    "false",
    "lora",
    "qlora",
    "auto",
    "truncate",
    "jinja",
    "last",
    "pissa",
    "completion",
}
VALUES |= {"chat_template", "inference", "eos_token"}
"""Words in the right columns that are no options: values, and the name of a type and of a command."""


def rows(page: str, heading: str) -> Iterator[list[str]]:
    """The cells of the tables below a heading of the second level."""
    text = (DOCS / page).read_text(encoding="utf-8")
    _, _, below = text.partition(f"\n## {heading}\n")
    assert below, heading
    for line in below.partition("\n## ")[0].splitlines():
        if line.startswith("| ") and not line.startswith("| there"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("tool", ["transformers Trainer", "trl", "LLaMA-Factory", "unsloth"])
def test_what_an_option_is_called_here_is_an_option(tool: str) -> None:
    cells = [cells[1] for cells in rows("coming_from.md", tool)]
    assert len(cells) > 8
    said = {word for cell in cells for code in codes(cell) for word in re.findall(r"\w+", code)}
    commands = {"axolotl", "train", "merge", "inference"}
    assert sorted(said - OPTIONS - VALUES - commands) == []


def test_what_an_option_is_called_in_transformers_is_one_there() -> None:
    known = {field.name for field in fields(TrainingArguments)}
    said = {
        re.match(r"\w+", code)[0]  # pyright: ignore[reportOptionalSubscript]
        for cells in rows("coming_from.md", "transformers Trainer")
        for code in codes(cells[0])
    }
    others = {"DataCollatorForLanguageModeling", "map", "resume_from_checkpoint", "train"}
    assert len(said) > 40
    assert sorted(said - known - others) == []


def test_the_message_of_no_memory_is_that_which_is_printed() -> None:
    fault = as_fault(MemoryError())
    assert fault is not None
    block = next(b for b in blocks(DOCS / "out_of_memory.md") if b.language == "text")
    assert block.text == f"error: {fault}\n"


def test_every_extra_is_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    told = {
        name
        for line in (DOCS / "install.md").read_text("utf-8").splitlines()
        if line.startswith("| `")
        for name in codes(line.split("|")[1])
    }
    assert told == set(project["optional-dependencies"])


def test_keys_of_the_table_of_training_steps_are_options() -> None:
    pages = ("batch_size.md", "resume.md", "train.md", "out_of_memory.md")
    for page in pages:
        text = (DOCS / page).read_text("utf-8")
        written = re.findall(r"`(\w+)(?:: [\w./-]+)?`", re.sub(r"(?ms)^```.*?^```", "", text))
        keys = {word for word in written if re.fullmatch(r"[a-z]+(_[a-z0-9]+)+", word)}
        assert len(keys) > 3, page
        allowed = {
            "batch_size",
            "eval_loss",
            "grad_norm",
            "tokens_per_second",
            "paged_adamw_8bit",
            "adamw_8bit",
        }
        assert sorted(keys - OPTIONS - allowed) == [], page
