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


def test_a_broken_row_is_shown_and_does_not_end_it(rows_config: str) -> None:
    with Path("rows.jsonl").open("a") as rows:
        rows.write('{"instruction": "a"}\n')
    result = CliRunner().invoke(preview, [rows_config, "--rows", "9"])
    assert result.exit_code == 0, result.output
    assert "rows.jsonl row 9\nbad row: no field 'output'" in result.stdout
    assert "9 rows, " in result.stdout
    assert ", 1 bad" in result.stdout


def test_nothing_to_show_ends_in_two(rows_config: str) -> None:
    Path("rows.jsonl").write_text('{"instruction": "a"}\n', "utf-8")
    result = CliRunner().invoke(preview, [rows_config, "--html", "page.html"])
    assert result.exit_code == 2
    assert "rows.jsonl row 1 (line 1): no field 'output'" in result.stderr
    assert "Traceback" not in result.output
    assert not Path("page.html").exists()


def test_one_row_of_one_entry(rows_config: str) -> None:
    text = Path(rows_config).read_text("utf-8")
    second = "  - path: rows.jsonl\n    type: completion:output\n"
    Path(rows_config).write_text(text.replace("sequence_len", f"{second}sequence_len"), "utf-8")
    found = CliRunner().invoke(preview, [rows_config, "--row", "3", "--json"])
    rows = json.loads(found.stdout)["rows"]
    assert [(row["source_row"], row["type"]) for row in rows] == [
        (3, "alpaca"),
        (3, "completion:output"),
    ]
    found = CliRunner().invoke(preview, [rows_config, "--row", "3", "--dataset", "1", "--json"])
    assert [row["type"] for row in json.loads(found.stdout)["rows"]] == ["completion:output"]
    found = CliRunner().invoke(preview, [rows_config, "--dataset", "2"])
    assert found.exit_code == 2
    assert "there is no entry 2; there are: datasets.0, datasets.1" in found.stderr


def test_rows_to_evaluate_on_are_marked(rows_config: str) -> None:
    text = Path(rows_config).read_text("utf-8").replace("val_set_size: 2", "test_datasets:")
    entry = "  - path: rows.jsonl\n    type: completion:output\n"
    Path(rows_config).write_text(f"{text}\n{entry}", "utf-8")
    found = CliRunner().invoke(preview, [rows_config, "--rows", "1"])
    assert found.exit_code == 0, found.output
    assert "rows.jsonl row 1  to evaluate on  " in found.stdout
    assert found.stdout.count("to evaluate on") == 1
    found = CliRunner().invoke(preview, [rows_config, "--rows", "1", "--json"])
    rows = json.loads(found.stdout)["rows"]
    assert [row["entry"] for row in rows] == ["datasets.0", "test_datasets.0"]


def test_a_row_behind_the_last_is_said(rows_config: str) -> None:
    result = CliRunner().invoke(preview, [rows_config, "--row", "9"])
    assert result.exit_code == 2
    assert "no file has a row 9" in result.stderr
    Path("rows.jsonl").write_text("", "utf-8")
    result = CliRunner().invoke(preview, [rows_config])
    assert (result.exit_code, "the files have no rows" in result.stderr) == (2, True)


def test_the_page(rows_config: str) -> None:
    result = CliRunner().invoke(preview, [rows_config, "--html", "out/page.html"])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("out/page.html: 8 rows, ")
    page = Path("out/page.html").read_text("utf-8")
    assert "<title>Preview of a.yml</title>" in page
    assert "8, at most 50 of each file" in page
    assert "Red and 7 more." in page
    both = CliRunner().invoke(preview, [rows_config, "--html", "b.html", "--json", "--rows", "2"])
    assert len(json.loads(both.stdout)["rows"]) == 2
    assert "2, at most 2 of each file" in Path("b.html").read_text("utf-8")


def test_streamed_texts_are_shown_too(rows_config: str, tiny_model: Path) -> None:
    lines = [f"base_model: {tiny_model}", "sequence_len: 512", "max_steps: 5"]
    lines += ["pretraining_dataset:", "  - path: rows.jsonl", "    text_column: output"]
    Path("p.yml").write_text("\n".join(lines), "utf-8")
    found = CliRunner().invoke(preview, ["p.yml", "--rows", "1", "--json", "--html", "p.html"])
    assert found.exit_code == 0, found.output
    assert [s["text"] for s in json.loads(found.stdout)["rows"][0]["segments"]] == [
        "Red and 0 more."
    ]
    assert "while they are read" in Path("p.html").read_text("utf-8")


def test_the_page_packs_as_the_file_says(rows_config: str) -> None:
    """In the order of the data with `curriculum_sampling`, and not at all without packing."""

    def packed(*options: str) -> list[int]:
        run = CliRunner().invoke(preview, [rows_config, "--html", "p.html", *options])
        assert run.exit_code == 0, run.output
        data = Path("p.html").read_text("utf-8").partition('id="data">')[2]
        packs = json.loads(data.partition("</script>")[0])["packs"]
        return [row for pack in packs for row, _ in pack]

    packing = ["--sample_packing", "true", "--micro_batch_size", "1"]
    assert packed("--sample_packing", "false") == []
    assert sorted(packed(*packing)) == list(range(8))
    assert packed(*packing) != list(range(8))
    assert packed(*packing, "--curriculum_sampling", "true") == list(range(8))
