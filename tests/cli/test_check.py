"""`axolotl check`: every option with its origin, every mistake with its line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from axolotl.cli.check import main
from axolotl.config import options

GOOD = (
    "base_model: m\ndatasets:\n  - path: d.jsonl\n    type: alpaca\nsample_packing: true\nseed: 0\n"
)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    Path("f.yml").write_text(GOOD)


def check(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def document(*arguments: str) -> tuple[dict[str, Any], int]:
    result = check(*arguments, "--json")
    return json.loads(result.stdout), result.exit_code


def test_a_good_file_is_shown_with_the_origin_of_every_value() -> None:
    result = check("f.yml", "--lora_r", "4")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["datasets.0.type", "alpaca", "line", "4"] in lines
    assert ["seed", "0", "line", "6"] in lines
    assert ["lora_r", "4", "--lora_r"] in lines
    assert ["eval_sample_packing", "true", "implied", "by", "sample_packing"] in lines
    assert "optimizer adamw_torch" in result.stdout
    assert all(key in result.stdout for key in options())
    assert "valid: 1 warning" in result.stderr
    assert "--lora_r: warning: lora_r has no effect" in result.stderr


def test_the_document_has_every_option_with_its_origin() -> None:
    found, code = document("f.yml", "--lora_r=4")
    assert code == 0
    assert found["ok"] is True
    assert set(found["config"]) == set(found["origins"]) == set(options())
    assert found["config"]["datasets"][0]["type"] == "alpaca"
    assert found["origins"]["seed"] == "f.yml:6"
    assert found["origins"]["lora_r"] == "--lora_r"
    assert found["origins"]["eval_sample_packing"] == "implied by sample_packing"
    assert found["origins"]["optimizer"] == "default"
    (finding,) = found["findings"]
    assert set(finding) == {"level", "rule", "key", "where", "message", "hint"}
    assert (finding["level"], finding["key"], finding["where"]) == ("warning", "lora_r", "--lora_r")


def test_a_finding_that_forbids_to_run_ends_with_2_and_still_shows_the_options() -> None:
    result = check("f.yml", "--warmup_steps=1", "--warmup_ratio=0.5")
    assert result.exit_code == 2
    assert "warmup_steps" in result.stdout
    assert "refused: 1 error" in result.stderr
    assert "--warmup_ratio: warmup_ratio: 0.5 and `warmup_steps: 1`" in result.stderr
    found, code = document("f.yml", "--warmup_steps=1", "--warmup_ratio=0.5")
    assert (found["ok"], code) == (False, 2)
    assert found["config"]["warmup_steps"] == 1
    assert [(f["level"], f["rule"]) for f in found["findings"]] == [("error", "one-warmup")]


def test_wrong_options_end_with_2_and_are_findings_of_the_document() -> None:
    Path("f.yml").write_text(GOOD + "lora_rank: 8\nlora_r: x\n")
    result = check("f.yml")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "f.yml:7: unknown key 'lora_rank'",
        "  hint: did you mean 'lora_r'?",
        "f.yml:8: lora_r: expected a whole number, got 'x'",
    ]
    found, code = document("f.yml")
    assert (found["ok"], found["config"], found["origins"], code) == (False, None, None, 2)
    assert found["findings"][0] == {
        "level": "error",
        "rule": "options",
        "key": "lora_rank",
        "where": "f.yml:7",
        "message": "unknown key 'lora_rank'",
        "hint": "did you mean 'lora_r'?",
    }


@pytest.mark.parametrize("arguments", [["no.yml"], [], ["f.yml", "g.yml"], ["f.yml", "-x"]])
def test_a_file_that_is_not_there_is_a_finding_as_well(arguments: list[str]) -> None:
    found, code = document(*arguments)
    assert code == 2
    assert found["ok"] is False
    assert found["findings"][0]["message"]


def test_a_file_that_cannot_be_read_is_a_finding_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    found, code = document("f.yml")
    assert (found["ok"], code) == (False, 2)
    assert found["findings"][0]["message"] == "cannot be read: Permission denied"


def test_a_folder_stands_for_its_only_file() -> None:
    assert document(".")[0]["origins"]["base_model"] == "f.yml:1"


def test_an_option_of_the_command_may_stand_anywhere() -> None:
    for arguments in (["--json", "f.yml"], ["--sample_packing", "--json", "f.yml"]):
        result = check(*arguments)
        assert json.loads(result.stdout)["ok"] is True


def test_lines_fit_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    assert max(len(line) for line in check("f.yml").stdout.splitlines()) <= 70


def test_it_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "axolotl.cli.check", "f.yml", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0
    assert json.loads(done.stdout)["ok"] is True
