import json
from pathlib import Path

from click.testing import CliRunner

from axolotl.cli.preprocess import main as preprocess
from axolotl.cli.train import main as train


def test_preprocess_says_what_became_of_the_rows(rows_config: str) -> None:
    first = CliRunner().invoke(preprocess, [rows_config])
    assert first.exit_code == 0, first.output
    assert first.stdout == ""
    assert "8: 6 to train on, 2 held out" in first.stderr
    assert "from the store" not in first.stderr
    again = CliRunner().invoke(preprocess, [rows_config])
    assert "from the store" in again.stderr


def test_preprocess_debug_prints_tokens(rows_config: str) -> None:
    plain = ["--debug", "--debug_num_examples", "1"]
    result = CliRunner().invoke(preprocess, [rows_config, *plain])
    assert result.exit_code == 0, result.output
    assert "</s>(2, 2)" in result.stderr
    result = CliRunner().invoke(preprocess, [rows_config, *plain, "--debug_text_only"])
    assert "more.</s>" in result.stderr
    assert "(2, 2)" not in result.stderr


def test_debug_in_the_file_prints_the_same(rows_config: str) -> None:
    def said(*options: str) -> str:
        result = CliRunner().invoke(preprocess, [rows_config, *options])
        assert result.exit_code == 0, result.output
        return result.stderr.partition("\n  folder")[2]

    by_option = said("--debug")
    with Path(rows_config).open("a") as config:
        config.write("\ndebug: true")
    assert by_option == said()
    assert by_option.count("\nBelow(-100, ") == 5
    with_train = CliRunner().invoke(train, [rows_config, "--prepare_ds_only"])
    assert by_option == with_train.stderr.partition("\n  folder")[2]


def test_a_broken_row_ends_in_two(rows_config: str) -> None:
    with Path("rows.jsonl").open("a") as rows:
        rows.write('{"instruction": "a"}\n')
    result = CliRunner().invoke(preprocess, [rows_config])
    assert result.exit_code == 2
    assert "rows.jsonl row 9 (line 9): no field 'output'" in result.stderr
    assert "Traceback" not in result.output


def test_json_is_one_document_with_the_counts_of_each_source(rows_config: str) -> None:
    result = CliRunner().invoke(preprocess, [rows_config, "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["rows_read"], found["train_rows"], found["eval_rows"]) == (8, 6, 2)
    (source,) = found["by_source"]
    assert source["rows_kept"] == 8
    assert source["tokens"] == found["tokens"]
    assert sum(rows for _, rows in source["lengths"]) == 8


def test_the_table_of_a_source(rows_config: str) -> None:
    with Path("rows.jsonl").open("a") as rows:
        rows.write('{"instruction": "a", "output": ""}\n')
    result = CliRunner().invoke(preprocess, [rows_config])
    assert result.exit_code == 0, result.output
    header, row = (line.split() for line in result.stderr.splitlines()[2:4])
    named = dict(zip(header[1:5], row[1:5], strict=True))
    assert header[0] == "source"
    assert (named["read"], named["kept"]) == ("9", "8")
    assert "dropped, no trained token: 1 (row 9)" in result.stderr
