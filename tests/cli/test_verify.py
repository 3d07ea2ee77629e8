"""`axolotl verify packing`: numbers, JSON and exit codes."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from axolotl.cli.main import main
from axolotl.verify import Proof, packing

PACKED = ("--sample_packing", "--sequence_len", "128", "--rows", "1")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["verify", "packing", *arguments])


def test_the_numbers_are_printed(rows_config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    result = run(rows_config, *PACKED)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    for said in ("attention", "logits", "gradient", "tolerance", "of their range apart"):
        assert said in result.stderr
    assert "holds: samples that share a row do not see each other" in result.stderr


def test_json_is_all_that_is_on_standard_output(rows_config: str) -> None:
    result = run(rows_config, *PACKED, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["holds"] is True
    assert found["numbers"]["rows"] == 1
    assert found["numbers"]["logits_share"] <= found["numbers"]["tolerance"]
    assert found["lines"]


@pytest.mark.parametrize("more", [(), ("--json",)], ids=["words", "json"])
def test_what_does_not_hold_ends_with_1(
    rows_config: str, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...]
) -> None:
    proof = Proof(
        "a claim", holds=False, numbers={"logits_share": 0.5}, lines=("logits: far apart",)
    )
    monkeypatch.setattr(packing, "prove", lambda *_, **__: proof)
    result = run(rows_config, *more)
    assert result.exit_code == 1
    assert "a bug in axolotl" not in result.stderr
    if more:
        assert json.loads(result.stdout)["holds"] is False
    else:
        assert "DOES NOT HOLD: a claim" in result.stderr


def test_a_fault_of_the_file_ends_with_2(rows_config: str) -> None:
    result = run(rows_config, "--base_model", "nowhere")
    assert result.exit_code == 2
    assert "nowhere" in result.stderr
