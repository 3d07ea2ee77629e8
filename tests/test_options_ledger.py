"""Every option is live: `ledger.toml` names, for each, the test that shows its effect.

An option that nothing reads looks like any other in a file, so an option without such a test, a line
for an option that is gone, and a test that is gone or does not speak of the option, all fail here.
"""

from __future__ import annotations

import ast
import re
import sys
from functools import cache
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib
from tests.option_keys import option_keys

ROOT = Path(__file__).resolve().parents[1]
LEDGER: dict[str, str] = tomllib.loads(
    (ROOT / "tests" / "ledger.toml").read_text(encoding="utf-8")
)["options"]
OPTIONS = sorted(option_keys())


@cache
def _tests(file: Path) -> dict[str, str]:
    """Name → source of each test in a file, with its decorators and the tables that they name."""
    text = file.read_text(encoding="utf-8")
    lines = text.splitlines()
    tree = ast.parse(text)
    tables = {
        ast.unparse(target): ast.unparse(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    }
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            names = {
                n.id for d in node.decorator_list for n in ast.walk(d) if isinstance(n, ast.Name)
            }
            first = min([node.lineno, *(mark.lineno for mark in node.decorator_list)])
            source = [*lines[first - 1 : node.end_lineno], *(tables.get(n, "") for n in names)]
            found[node.name] = "\n".join(source)
    return found


def test_the_schema_is_read() -> None:
    assert {"base_model", "lora_r", "datasets.path", "datasets.type.format"} <= set(OPTIONS)


def test_no_line_is_for_an_option_that_is_gone() -> None:
    assert sorted(set(LEDGER) - set(OPTIONS)) == []


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_has_a_test_that_shows_its_effect(option: str) -> None:
    assert option in LEDGER, (
        f"`{option}` has no line in tests/ledger.toml: which test shows its effect?"
    )
    name, _, test = LEDGER[option].partition("::")
    file = ROOT / "tests" / name
    assert file.is_file(), f"{option}: there is no {name}"
    assert test in _tests(file), f"{option}: {name} has no {test}"
    word = rf"\b{option.rpartition('.')[2]}\b"
    assert re.search(word, _tests(file)[test]), f"{option}: {test} does not speak of it"
