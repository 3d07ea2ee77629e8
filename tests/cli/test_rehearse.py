"""`axolotl rehearse`: what it says, where, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from axolotl.cli.rehearse import main
from axolotl.verify.rehearse import Rehearsal, Replacement, Stage

STAGES = [
    Stage("base", "a model", "proven", "LlamaForCausalLM"),
    Stage("merge", "one model", "not shown", "there is no adapter"),
]
REPLACED = [Replacement("fp16", "true", "float32", "losses in float16")]
FAILED = Stage("pack", "apart", "failed", "samples see each other", "write false")


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


@pytest.fixture
def rehearsed(monkeypatch: pytest.MonkeyPatch, rows_config: str) -> list[Stage]:
    """What the rehearsal of `rows_config` comes to."""
    stages = list(STAGES)

    def rehearse(config: object, commands: object, **options: object) -> Rehearsal:
        return Rehearsal("a.yml", REPLACED, stages, ["losses in float16"], 3.0, Path("there"))

    monkeypatch.setattr("axolotl.verify.rehearse.rehearse", rehearse)
    return stages


def test_it_says_what_was_replaced_shown_and_left_open(
    rehearsed: list[Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = invoke("a.yml")
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    for words in ("fp16", "float32", "LlamaForCausalLM", "no adapter", "- losses in float16"):
        assert words in result.stderr
    assert "passed: 1 proven, 1 not shown, in 3 s" in result.stderr


def test_a_failure_is_the_exit_code_and_has_its_hint(rehearsed: list[Stage]) -> None:
    rehearsed.append(FAILED)
    result = invoke("a.yml")
    assert result.exit_code == 1
    assert "hint: write false" in result.stderr
    assert "FAILED: 1 proven, 1 failed" in result.stderr
    rehearsed[-1] = Stage("pack", "", "failed", "x", mendable=True)
    assert invoke("a.yml").exit_code == 2


def test_json_is_one_document_on_standard_output(rehearsed: list[Stage]) -> None:
    result = invoke("a.yml", "--json")
    found = json.loads(result.stdout)
    assert found["passed"] is True
    assert [stage["name"] for stage in found["stages"]] == ["base", "merge"]
    assert found["replaced"][0]["unproven"] == "losses in float16"


def test_a_misspelt_key_ends_as_train_ends(rows_config: str) -> None:
    result = invoke(rows_config, "--lora_rr", "4")
    assert result.exit_code == 2
    assert "lora_r" in result.stderr
