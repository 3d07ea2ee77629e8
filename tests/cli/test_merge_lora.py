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


OLD_FLAGS = ("--lora_model_dir=./out", "--load_in_8bit=False", "--load_in_4bit=False")


@pytest.mark.parametrize(
    "method",
    [
        {"adapter": "lora", "load_in_8bit": True},
        {"adapter": "qlora", "load_in_4bit": True},
    ],
    ids=["8 bits", "qlora"],
)
@pytest.mark.parametrize("flags", [(), OLD_FLAGS], ids=["plain", "flags of 2023"])
def test_a_base_in_few_bits_is_loaded_whole(method: dict[str, Any], flags: tuple[str, ...]) -> None:
    content = yaml.safe_load(Path("a.yml").read_text())
    Path("a.yml").write_text(yaml.safe_dump(content | method))
    result = run(*flags)
    assert result.exit_code == 0, result.stderr
    merged = AutoModelForCausalLM.from_pretrained("out/merged")
    assert not hasattr(merged.config, "quantization_config")
    assert {p.dtype for p in merged.parameters()} == {torch.float32}


@pytest.mark.slow
def test_the_commands_of_2023_work_as_they_were_written() -> None:
    """Apart from the names of file and folder."""
    import subprocess
    import sys

    python = str(Path(sys.executable).with_name("python3"))
    for line in (
        'python3 -m axolotl.cli.merge_lora a.yml --lora_model_dir="./out" --load_in_8bit=False '
        "--load_in_4bit=False",
        'CUDA_VISIBLE_DEVICES="" python3 -m axolotl.cli.merge_lora a.yml --lora_model_dir="./out"',
    ):
        script = line.replace("python3", python)
        done = subprocess.run(script, shell=True, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "largest difference" in done.stderr


def test_files_are_as_large_as_asked() -> None:
    result = run("--max_shard_size", "100KB")
    assert result.exit_code == 0, result.stderr
    files = list(Path("out/merged").glob("model-*.safetensors"))
    assert len(files) > 3
    assert max(file.stat().st_size for file in files) < 150_000
    AutoModelForCausalLM.from_pretrained("out/merged")
    refused = run("--max_shard_size=wide")
    assert refused.exit_code == 2
    assert "'wide' is no size" in refused.stderr
