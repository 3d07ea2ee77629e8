"""`axolotl merge-lora`: a whole model in a folder, and what it differs by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from click.testing import CliRunner, Result
from transformers import AutoModelForCausalLM

from axolotl.cli.merge_lora import main
from tests.artifacts.made import random_adapter


@pytest.fixture(autouse=True)
def _run(tmp_path: Path, tiny_model: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A finished LoRA run, and its file `a.yml` in the current folder."""
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text('{"instruction": "a", "output": "b"}\n' * 4)
    random_adapter(AutoModelForCausalLM.from_pretrained(tiny_model), Path("out"))
    tokenizer.save_pretrained("out")
    content = {
        "base_model": str(tiny_model),
        "adapter": "lora",
        "datasets": [{"path": "rows.jsonl", "type": "alpaca"}],
        "output_dir": "out",
    }
    Path("a.yml").write_text(yaml.safe_dump(content))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["a.yml", *arguments])


def test_the_merged_model_is_written_and_summed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    result = run()
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    assert Path("out/merged/merge.json").is_file()
    rows = {
        line.split("  ")[1].strip(): line for line in result.stderr.splitlines() if "  " in line
    }
    assert "out/merged" in rows["result"]
    assert "float32" in rows["dtype"]
    assert "on 4 training rows" in rows["largest difference"]
    assert "e-0" in rows["largest difference"]


def test_dtype_and_folder_are_those_asked_for() -> None:
    result = run("--dtype", "bfloat16", "--out", "elsewhere")
    assert result.exit_code == 0, result.stderr
    assert AutoModelForCausalLM.from_pretrained("elsewhere").dtype == torch.bfloat16
    assert not Path("out/merged").exists()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--dtype", "int8"], "'int8' is not one of"),
        (["--output_dir", "elsewhere"], "no adapter in 'elsewhere'"),
        (["--out", "out"], "would be replaced as a whole"),
    ],
)
def test_what_cannot_be_done_ends_in_two(arguments: list[str], problem: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert problem in result.stderr
    assert "Traceback" not in result.stderr
