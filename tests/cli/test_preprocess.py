import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from axolotl.cli.preprocess import main as preprocess

ROWS = [{"instruction": f"Name {i} colours.", "output": f"Red and {i} more."} for i in range(8)]


@pytest.fixture
def config(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), "utf-8")
    lines = [f"base_model: {tiny_model}", "datasets:", "  - path: rows.jsonl", "    type: alpaca"]
    lines += ["sequence_len: 512", "val_set_size: 2"]
    Path("a.yml").write_text("\n".join(lines), "utf-8")
    return "a.yml"


def test_preprocess_says_what_became_of_the_rows(config: str) -> None:
    first = CliRunner().invoke(preprocess, [config])
    assert first.exit_code == 0, first.output
    assert first.stdout == ""
    assert "8: 6 to train on, 2 held out" in first.stderr
    assert "from the store" not in first.stderr
    again = CliRunner().invoke(preprocess, [config])
    assert "from the store" in again.stderr


def test_preprocess_debug_prints_tokens(config: str) -> None:
    plain = ["--debug", "--debug_num_examples", "1"]
    result = CliRunner().invoke(preprocess, [config, *plain])
    assert result.exit_code == 0, result.output
    assert "</s>(2, 2)" in result.stderr
    result = CliRunner().invoke(preprocess, [config, *plain, "--debug_text_only"])
    assert "more.</s>" in result.stderr
    assert "(2, 2)" not in result.stderr


def test_a_broken_row_ends_in_two(config: str) -> None:
    with Path("rows.jsonl").open("a") as rows:
        rows.write('{"instruction": "a"}\n')
    result = CliRunner().invoke(preprocess, [config])
    assert result.exit_code == 2
    assert "rows.jsonl row 9 (line 9): no field 'output'" in result.stderr
    assert "Traceback" not in result.output
