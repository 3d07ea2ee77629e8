import json
from pathlib import Path

from click.testing import CliRunner

from axolotl.cli.preview import main as preview


def test_preview_as_text(rows_config: str) -> None:
    result = CliRunner().invoke(preview, [rows_config, "--rows", "2"])
    assert result.exit_code == 0, result.output
    assert (
        "### Instruction:\nName 1 colours.\n\n### Response:\n⟦Red and 1 more.</s>⟧" in result.stdout
    )
    assert "Name 2 colours" not in result.stdout
    assert "2 rows, " in result.stdout


def test_preview_as_json(rows_config: str) -> None:
    result = CliRunner().invoke(preview, [rows_config, "--json", "--rows", "3"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert [row["source_row"] for row in document["rows"]] == [1, 2, 3]
    first = document["rows"][0]
    assert first["dataset"] == "rows.jsonl"
    trained = [
        i for i, label in zip(first["input_ids"], first["labels"], strict=True) if label >= 0
    ]
    assert trained == [label for label in first["labels"] if label != -100]
    assert trained[-1] == 2
    assert not Path("last_run_prepared").exists()


def test_a_broken_row_ends_in_two(rows_config: str) -> None:
    with Path("rows.jsonl").open("a") as rows:
        rows.write('{"instruction": "a"}\n')
    assert CliRunner().invoke(preview, [rows_config]).exit_code == 0
    result = CliRunner().invoke(preview, [rows_config, "--rows", "9"])
    assert result.exit_code == 2
    assert "rows.jsonl row 9 (line 9): no field 'output'" in result.stderr
    assert "Traceback" not in result.output
