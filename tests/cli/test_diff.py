"""`axolotl diff`: what two files come to, side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from axolotl.cli.diff import main

ONE = "base_model: m\ndatasets:\n  - path: d.jsonl\n    type: alpaca\nmicro_batch_size: 2\n"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.yml").write_text(ONE)


def diff(text: str, *arguments: str) -> Result:
    Path("b.yml").write_text(text)
    return CliRunner().invoke(main, ["a.yml", "b.yml", *arguments])


def found(text: str) -> dict[str, Any]:
    document = json.loads(diff(text, "--json").stdout)
    assert document["equal"] == (document["differences"] == [])
    return {d["key"]: (d["a"], d["b"], *d["origins"]) for d in document["differences"]}


def test_another_way_of_writing_the_same_is_no_difference() -> None:
    text = "micro_batch_size: 2.0\nbase: a.yml\nseed: 42\nlora_r:\n"
    assert found(text) == {}
    result = diff(text)
    assert (result.exit_code, result.stdout) == (0, "a.yml and b.yml come to the same\n")


def test_what_follows_from_a_difference_is_one_too() -> None:
    assert found("base: a.yml\nmicro_batch_size: 4\n") == {
        "micro_batch_size": (2, 4, "a.yml:5", "b.yml:2"),
        "eval_batch_size": (2, 4, "implied by micro_batch_size", "implied by micro_batch_size"),
    }


def test_entries_of_lists_are_compared_one_by_one() -> None:
    text = ONE.replace("d.jsonl", "e.jsonl").replace("micro", "  - path: x\nmicro")
    changed = found(text)
    assert changed["datasets.0.path"] == ("d.jsonl", "e.jsonl", "a.yml:3", "b.yml:3")
    assert changed["datasets.1.path"][:2] == (None, "x")
    assert "datasets.0.type" not in changed


def test_the_page_says_what_each_difference_does() -> None:
    result = diff(ONE + "lora_r: 4\n")
    assert result.exit_code == 0
    assert "lora_r  Rank of the adapter\n  8  default\n  4  b.yml:6\n" in result.stdout
    assert result.stdout.endswith("1 option differs\n")
    assert "only of b.yml:\nb.yml:6: warning: lora_r has no effect" in result.stderr


def test_a_file_with_mistakes_ends_with_2() -> None:
    result = diff("base_model: m\nlora_rr: 1\n")
    assert result.exit_code == 2
    assert "b.yml:2: unknown key 'lora_rr'" in result.stderr
